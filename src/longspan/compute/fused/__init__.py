"""A scheme as one launch of a fused kernel: each row sees a few intervals of keys."""
