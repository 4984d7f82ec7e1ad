"""What is done to the content of queries and keys? One published method per file."""
