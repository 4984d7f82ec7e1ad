"""The equation as Triton kernels: online softmax over the keys that each row sees, forward and backward."""
