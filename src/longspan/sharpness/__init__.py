"""How much sharper is a query that sees more keys? One published method per file."""
