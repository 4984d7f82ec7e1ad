"""What is added to a pair's score? One published method per file."""
