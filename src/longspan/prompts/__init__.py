"""What tasks build their prompts from: fillers, needles, words, exact lengths and scoring."""
