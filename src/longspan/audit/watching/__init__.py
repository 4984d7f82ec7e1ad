"""Watching a model without weights: its rotations, its masks, its attention calls and its cache."""
