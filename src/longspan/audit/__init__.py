"""What a checkpoint's config and rotary module really do: the model is built without weights, and run."""
