"""What bounds the scores? One published method per file."""
