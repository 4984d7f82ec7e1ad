"""How fast attention is: ratios to plain causal attention, measured in one run."""
