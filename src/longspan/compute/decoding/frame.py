"""Standing: how the keys of one set of frequencies stand in a cache, which is where attention takes them up.

A key is turned to where a token at g(p) would stand, by a rotary module that is told so or by `Cache`. Most pairs shall
then need no more:

    method                                  g(p)              attention still turns, in each step
    fixed frequencies, windows, log n       p                 nothing
    streaming_llm, lm_infinite              p                 the sinks
    rerope                                  0                 the near keys
    leaky_rerope                            p / k             the near keys
    self_extend                             ⌊p / G⌋           the near keys
    dual_chunk                              p mod t           nothing
    frequencies that change on the way      0                 all keys (in `Cache`: p, and all turn on at a change)
    xpos                                    p mod block       nothing

g is read off the method: where its branch says that keys stand, of the branch that most keys of a late query lie in.
"""

from collections import Counter
from dataclasses import dataclass

import torch

from longspan.compute.rotate import decay_span
from longspan.memo import remember
from longspan.position_map import ZERO, Identity, Modulo, PositionMap
from longspan.scheme import Scheme
from longspan.slots import Branch, Rotation

FAR = 2**40
"""The order of a late query, and longer than any call: a rotation with more than one segment changes on the way."""

BLOCK = 2**14
"""Keys that decay from one origin, at most."""


@dataclass(frozen=True)
class Standing:
    """How cached keys are rotated. Caches of equal standings are interchangeable.

    Arguments:
        rotation: what rotates queries and keys before they are cached; None where nothing does.
        position: the mapped position that they are rotated to.
    """

    rotation: Rotation | None
    position: PositionMap = Identity()

    @property
    def true(self) -> bool:
        """Whether they are rotated to their true position."""
        return self.position == Identity()


UNTURNED = Standing(None, ZERO)


def standing(schemes: list[Scheme]) -> Standing:
    """What suits the layers that share one set of frequencies: most of their keys need no more turning."""
    rotations = {scheme.rotation for scheme in schemes}
    if len(rotations) > 1 or any(len(rotation.segments(FAR)) > 1 for rotation in rotations):
        return UNTURNED
    settled: Counter[Standing] = Counter()
    for scheme in schemes:
        for branch in scheme.distance.branches():
            found = UNTURNED if branch.key == ZERO else Standing(scheme.rotation, branch.key)
            settled[found] += _keys(scheme, branch)
    return settled.most_common(1)[0][0]


@remember(64)
def frame(scheme: Scheme, head_dim: int, dtype: torch.dtype) -> PositionMap | None:
    """The mapped position to which one layer's keys are best rotated before they are kept; None for unrotated keys."""
    found, spectrum = standing([scheme]), scheme.rotation.spectrum(head_dim)
    if found.rotation is None or not spectrum.rotary_dim:
        return None
    if not spectrum.decays:
        return found.position
    return Modulo(decay_span(spectrum, dtype, BLOCK)) if found.true else None


def _keys(scheme: Scheme, branch: Branch) -> int:
    """How many keys of a late query lie in a branch, sinks aside."""
    first, _ = scheme.mask.interval(torch.tensor(FAR), True)
    block = branch.holds.block
    start, stop = max(branch.holds.start * block, 0), min(branch.holds.stop * block, FAR + 1 - max(int(first), 0))
    return max(int(stop) - int(start), 0)
