"""Computing the equation: places, rotation, the dense reference, and the fast backends."""
