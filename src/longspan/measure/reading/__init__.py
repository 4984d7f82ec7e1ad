"""Read a text: hidden states, a cache, and losses of its tokens."""
