"""How sharp is a query? One published method per file."""
