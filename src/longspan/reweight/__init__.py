"""What are the weights multiplied with afterwards? One published method per file."""
