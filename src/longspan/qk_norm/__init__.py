"""How are queries and keys normalized before they are rotated? One published method per file."""
