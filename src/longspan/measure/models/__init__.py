"""Models that are ready to be measured, and the methods that they are measured with."""
