"""Which positions does a batch get? One published answer per file; each returns what `attend` takes as positions."""
