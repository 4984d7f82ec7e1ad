"""Linear recurrences, each in one place: an associative scan, a recurrence in chunks, a convolution by FFT."""
