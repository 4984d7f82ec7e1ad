"""What is kept of a document's far tokens? One published method per file."""
