"""YaRN with another ramp: from a raised maximum in place of the original length, or blended in another way.

Source: `original_max_position_embeddings` defaults to `max_position_embeddings`, which recipes tell users to raise
(transformers/modeling_rope_utils.py).
"""

from collections.abc import Iterator
from dataclasses import replace

from longspan.audit.blackbox.hypothesis import Asked, Family, Hypothesis
from longspan.rotation.yarn import YaRN

RAMPS = ("index", "unrounded", "turns")


class Ramp(Family):
    """The asked YaRN with another original length or ramp."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield the raised original length, then the other ramps."""
        rotation = asked.scheme.rotation if asked.scheme else None
        if not isinstance(rotation, YaRN) or not rotation.trained_length or not rotation.factor:
            return
        raised = round(rotation.trained_length * rotation.factor)
        name = f"yarn with original length {raised} instead of {rotation.trained_length}"
        yield Hypothesis(name, asked.rotating(replace(rotation, trained_length=raised)))
        for ramp in RAMPS:
            if ramp != (rotation.ramp or "index"):
                yield Hypothesis(f"yarn with the ramp {ramp!r}", asked.rotating(replace(rotation, ramp=ramp)))
