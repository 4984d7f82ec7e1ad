"""Which coordinates is a batch given? One published answer per file; each returns what `attend` takes as positions."""
