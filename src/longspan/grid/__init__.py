"""A grid of measurements: what a study and a survey share, records on disk, one folder, pace and progress."""
