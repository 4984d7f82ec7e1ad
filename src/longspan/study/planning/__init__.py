"""What a study measures: its cells, and what a budget leaves out of them."""
