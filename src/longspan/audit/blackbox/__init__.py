"""What a server really does with positions: its log-probabilities are compared with those that a mistake would give."""
