"""What a model is asked: examples made from the user's own documents, as token ids."""
