"""Frames: the mapped position that the keys in a cache are rotated to, which is where attention takes them up.

A key is rotated as if its position were g(p), by a model's own rotary module that is given g(p) or by `Cache`. The
frame g is chosen so that most pairs need no more:

    method                                  g(p)              attention still rotates, in each step
    fixed frequencies, windows, log n       p                 nothing
    streaming_llm, lm_infinite              p                 the sinks
    rerope                                  0                 the near keys
    leaky_rerope                            p / k             the near keys
    self_extend                             ⌊p / G⌋           the near keys
    dual_chunk                              p mod t           nothing
    frequencies that change with length     0                 all keys (in `Cache`: p, and all keys rotate at a change)
    xpos                                    p mod block       nothing

g is read off the method: it is the key map of the branch that holds most keys of a late query.
"""

from collections import Counter
from dataclasses import dataclass

import torch

from longspan.compute.rotate import decay_span
from longspan.position_map import ZERO, Identity, Modulo, PositionMap
from longspan.scheme import Scheme
from longspan.slots import Branch, Rotation

LATE = 2**40
"""The order of a late query, and longer than any call: a rotation with several segments changes with length."""

LONGEST_BLOCK = 2**14
"""Keys that decay from one origin, at most."""


@dataclass(frozen=True)
class Frame:
    """How cached keys are rotated. Caches with equal frames are interchangeable.

    Arguments:
        rotation: what rotates queries and keys before they are cached; None for nothing.
        position: the mapped position that they are rotated to.
    """

    rotation: Rotation | None
    position: PositionMap = Identity()

    @property
    def true(self) -> bool:
        """Whether they are rotated to their true position."""
        return self.position == Identity()


UNROTATED = Frame(None, ZERO)


def shared_frame(schemes: list[Scheme]) -> Frame:
    """The frame for layers that share one set of frequencies: the one that leaves most of their keys as they lie."""
    if any(scheme.memory for scheme in schemes):  # keys are compared before rotation
        return UNROTATED
    rotations = {scheme.rotation for scheme in schemes}
    if len(rotations) > 1 or any(len(rotation.segments(LATE)) > 1 for rotation in rotations):
        return UNROTATED
    keys: Counter[Frame] = Counter()
    for scheme in schemes:
        for branch in scheme.distance.branches():
            unrotated = branch.key == ZERO or branch.sections > 1  # a rotary module takes one position for all pairs
            frame = UNROTATED if unrotated else Frame(scheme.rotation, branch.key)
            keys[frame] += _count_keys(scheme, branch)
    return keys.most_common(1)[0][0]


def layer_frame(scheme: Scheme, head_dim: int, dtype: torch.dtype) -> PositionMap | None:
    """The mapped position that the keys of one layer are best rotated to before they are kept; None for unrotated."""
    frame, spectrum = shared_frame([scheme]), scheme.rotation.spectrum(head_dim)
    if frame.rotation is None or not spectrum.rotary_dim:
        return None
    if not spectrum.decays:
        return frame.position
    return Modulo(decay_span(spectrum, dtype, LONGEST_BLOCK)) if frame.true else None


def _count_keys(scheme: Scheme, branch: Branch) -> int:
    """How many keys of a late query a branch holds, sinks aside."""
    first, _ = scheme.mask.interval(torch.tensor(LATE), True)
    block = branch.holds.block
    start, stop = max(branch.holds.start * block, 0), min(branch.holds.stop * block, LATE + 1 - max(int(first), 0))
    return max(int(stop) - int(start), 0)
