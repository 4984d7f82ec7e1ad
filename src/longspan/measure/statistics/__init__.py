"""Statistics of measurements: bounds that hold, and what they may be read as."""
