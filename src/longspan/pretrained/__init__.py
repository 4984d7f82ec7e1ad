"""Putting a scheme on any pretrained causal language model of transformers, and taking it off again."""
