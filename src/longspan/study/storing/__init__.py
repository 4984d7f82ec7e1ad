"""What a study keeps on disk: one folder, its records, and the extended model."""
