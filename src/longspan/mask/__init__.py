"""Which keys does a query see? Two directions, and one locality per file."""
