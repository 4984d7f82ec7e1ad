"""`attend` inside torch.compile and under torch.func."""
