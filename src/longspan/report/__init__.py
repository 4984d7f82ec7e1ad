"""What a study found: its verdict in words, tables, figures and one page."""
