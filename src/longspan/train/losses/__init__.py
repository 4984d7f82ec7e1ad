"""What is minimized; one loss per file, named like its file."""
