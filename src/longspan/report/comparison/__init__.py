"""Finished studies and surveys beside each other: what `longspan report` prints and writes."""
