"""Tests of trained models that `longspan measure` does not have: hidden tokens, and answers of any length."""
