"""The machine: its devices, its memory, what a measurement costs on it."""
