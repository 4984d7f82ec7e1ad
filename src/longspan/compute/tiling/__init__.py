"""Attention over many queries: which plain attention calls, merged, add up to a scheme."""
