"""Which distance stands in a pair's rotation in place of the true one? One published method per file."""
