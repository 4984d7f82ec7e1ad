"""How well a model did: each measurement is a pure function of JSON arguments to a JSON record."""
