"""How do scores become weights? One published method per file."""
