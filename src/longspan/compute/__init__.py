"""Compute the equation: positions, rotation, the dense reference, and the fast backends."""
