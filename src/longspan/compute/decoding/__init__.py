"""Attention of few queries over a long cache: found once for a step, run in every layer."""
