"""How much larger are the scores of a query that sees more keys? One published method per file."""
