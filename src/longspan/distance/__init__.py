"""How far apart is a pair said to be? One published method per file."""
