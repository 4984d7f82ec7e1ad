"""Extended models on disk: checkpoints, GGUF files, and the flags of other runtimes."""
