"""What is added to a pair's score, or to its key and value? One published method per file."""
