"""Temperature: the factor that DeepSeek's attention takes from its YaRN into the softmax scale.

    scaling = head_dim^(−1/2) · (0.1 a ln s + 1)²          a = mscale_all_dim, s = factor: `YaRN.score_factor`

It belongs to the rescaling of the checkpoint, although the attention layers hold it: another rotation brings its own.
"""

from dataclasses import dataclass
from math import isclose

from torch import nn

from longspan.pretrained.anatomy.layers import Layer
from longspan.rotation.yarn import YaRN
from longspan.slots import Rotation

ATTRIBUTE = "scaling"


@dataclass(frozen=True)
class Scaling:
    """The softmax scale of an attention module, as it was before it was changed."""

    module: nn.Module
    before: float

    def remove(self) -> None:
        """Put the scale back."""
        setattr(self.module, ATTRIBUTE, self.before)


def install(layer: Layer, own: Rotation | None, named: Rotation) -> Scaling | None:
    """Exchange the factor of the checkpoint's own YaRN for the named rotation's.

    Arguments:
        own: the checkpoint's rotation; None where its config describes no known one.
        named: the rotation that takes its place.

    Returns what takes the change back; None where the layer has no such factor.
    """
    before, layout = getattr(layer.module, ATTRIBUTE, None), layer.layout
    if not isinstance(own, YaRN) or layout is None or not isinstance(before, float):
        return None
    plain = layout.head_dim**-0.5
    if own.score_factor == 1.0 or not isclose(before, plain * own.score_factor, rel_tol=1e-6):
        return None  # as in ministral3, whose config has the number and whose attention does not use it
    setattr(layer.module, ATTRIBUTE, plain * (named.score_factor if isinstance(named, YaRN) else 1.0))
    return Scaling(layer.module, before)
