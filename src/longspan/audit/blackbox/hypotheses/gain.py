"""The attention factor (mscale) is missing, or applied twice.

Source: `attn_factor` against `attention_factor`, DeepSeek-R1#684.
"""

from collections.abc import Iterator
from dataclasses import replace

from longspan.audit.blackbox.hypothesis import Asked, Family, Hypothesis


class Gain(Family):
    """The asked rotation with another gain on rotated queries and keys."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield none and twice, for rotations that have a gain."""
        rotation = asked.scheme.rotation if asked.scheme else None
        if rotation is None or not hasattr(rotation, "attention_factor") or rotation.gain == 1:
            return
        for name, gain in {"missing": 1.0, "applied twice": rotation.gain**2}.items():
            changed = replace(rotation, attention_factor=gain)
            yield Hypothesis(f"the attention factor is {name}", asked.rotating(changed))
