"""Layers of a cache that hold a state of fixed size in the place of keys and values, and attention that reads it."""
