"""A survey: how well a model, with and without methods, does tasks at several lengths. It begins in `run.py`."""
