"""How does each channel pair turn? One published method per file."""
