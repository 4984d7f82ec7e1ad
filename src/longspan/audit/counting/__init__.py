"""What a model's numbers mean at a length: turns of its pairs, the bound on its base, floating-point operations."""
