"""Ring attention: a sequence that several processes share."""
