"""Measure a model: each measurement is a pure function of JSON arguments to a JSON record. Models run here only."""
