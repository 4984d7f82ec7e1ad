"""`longspan train`: any architecture of transformers with any design, at a short length."""
