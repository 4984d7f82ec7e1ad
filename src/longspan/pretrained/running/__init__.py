"""One forward pass of an extended model: positions, masks and attention."""
