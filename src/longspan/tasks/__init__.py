"""What a model is asked to do: one task per file, found by walking this folder (`longspan.task.tasks`)."""
