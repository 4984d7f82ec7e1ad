"""Layers that cache latents and not keys: which they are, and attention on the latents as they are."""
