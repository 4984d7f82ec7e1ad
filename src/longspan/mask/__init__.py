"""Which pairs exist? Two directions, and one locality per file."""
