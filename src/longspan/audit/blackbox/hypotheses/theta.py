"""Another base: the default of a library in place of the checkpoint's `rope_theta`, or one ten times off."""

from collections.abc import Iterator
from dataclasses import replace

from longspan.audit.blackbox.hypothesis import Asked, Family, Hypothesis
from longspan.rotation.rope import RoPE
from longspan.slots import RotaryEmbedding

USUAL = (10_000.0, 500_000.0, 1_000_000.0)
"""Bases of Llama 1 and 2, of Llama 3, and of Qwen and Mistral."""


class Theta(Family):
    """The asked rotation from another base."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield the usual bases and both neighbors."""
        if asked.theta is None or asked.scheme is None:
            return
        asked_rotation = asked.scheme.rotation
        if asked_rotation == RoPE() and asked.rescaled:
            return  # its base is part of a rescaling that the config describes
        for theta in dict.fromkeys((*USUAL, asked.theta / 10, asked.theta * 10)):
            if theta == asked.theta or theta <= 1 or not isinstance(asked_rotation, RotaryEmbedding):
                continue
            rotation = replace(asked_rotation, theta=theta)
            yield Hypothesis(f"rope_theta {theta:g} instead of {asked.theta:g}", asked.rotating(rotation))
