"""What a training step reads: texts, tokenizers, rows, and what is asked about a row."""
