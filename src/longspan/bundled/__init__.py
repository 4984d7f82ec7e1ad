"""The model that ships with the package, its documents, and the words of its facts."""
