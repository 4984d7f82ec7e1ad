"""The equation written out: the reference, and the same in linear memory."""
