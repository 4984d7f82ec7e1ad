"""What are all scores multiplied with? One published method per file."""
