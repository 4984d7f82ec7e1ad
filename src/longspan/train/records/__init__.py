"""What a run writes while it goes on: its state, its log, its curves."""
