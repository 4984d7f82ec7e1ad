"""Quantizers: a vector is replaced by one of finitely many, one paper, one file."""
