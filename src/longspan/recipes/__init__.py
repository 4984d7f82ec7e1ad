"""Published combinations of parts, a function each, named like its file."""
