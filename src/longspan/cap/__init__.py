"""What bounds the scores before the bias is added? One published method per file."""
