"""A study: which method lets a model read N tokens, decided on the user's documents. It begins in `run.py`."""
