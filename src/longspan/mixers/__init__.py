"""What layers have in place of softmax attention: one paper, one file."""
