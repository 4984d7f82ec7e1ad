"""What multiplies the weights afterwards? One published method per file."""
