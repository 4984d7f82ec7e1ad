"""Contracts that every method of the catalogue keeps; a new method file is picked up without an edit here."""
