"""Rows of tasks: prompts with their answers, sequences of token ids, and what belongs to the tests."""
