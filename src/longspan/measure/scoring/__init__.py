"""Ask a model the examples of a task, and score what it answers."""
