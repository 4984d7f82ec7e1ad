"""How does each channel pair rotate with the position? One published method per file."""
