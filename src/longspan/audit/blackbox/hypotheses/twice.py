"""Frequencies are rescaled twice: a factor of the config on top of frequencies that were already rescaled.

GGUF files with a tensor of rope factors and `rope.scaling` metadata as well are an instance.
"""

from collections.abc import Iterator

from longspan.audit.blackbox.hypothesis import Asked, Family, Hypothesis
from longspan.rotation.longrope import LongRoPE
from longspan.slots import RotaryEmbedding


class Twice(Family):
    """The asked rescaling, applied to its own result."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield it with the gain once, and, where there is a gain, with the gain twice."""
        rotation = asked.scheme.rotation if asked.scheme else None
        if not isinstance(rotation, RotaryEmbedding) or asked.factor is None or rotation.proportion < 1:
            return
        ratios = rotation.original(asked.rotary_dim) / rotation.frequencies(asked.rotary_dim)
        squared = tuple((ratios**2).tolist())
        for name, gain in {"once": rotation.gain, "twice": rotation.gain**2}.items():
            again = LongRoPE(
                None, squared, asked.trained_length, factor=1.0, attention_factor=gain, theta=rotation.theta
            )
            said = "frequencies are rescaled twice"
            yield Hypothesis(said if gain == 1 else f"{said}, the attention factor {name}", asked.rotating(again))
            if gain == 1:
                return
