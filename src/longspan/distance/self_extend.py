"""Self-Extend: beyond a neighbor window, tokens share positions in groups of G.

    distance(i, j) = i − j                              i − j < w
                     ⌊i/G⌋ − ⌊j/G⌋ + w − ⌊w/G⌋          i − j ≥ w

Source: Jin et al. 2024, "LLM Maybe LongLM: Self-Extend LLM Context Window Without Tuning", arXiv:2401.01325.
Differs from the paper: every division is floored; some paths of the authors' code divide exactly in w/G, so that
prefill and decoding disagree wherever G does not divide w.
"""

from dataclasses import dataclass, replace
from math import ceil, inf
from typing import ClassVar

import torch
from torch import Tensor

from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.position_map import Floor, Identity
from longspan.slots import Band, Branch, Distance


def group_within(trained_length: int, window: int, length: int) -> int | None:
    """The group size by the authors' rule w + (length − w) / G ≤ L / 2; None where no size is large enough.

    The smallest such size is rounded up to a divisor of w where one lies within twice its value.
    """
    far, room = length - window, trained_length / 2 - window
    if far <= 0:
        smallest = 1
    elif room <= 0:
        return None
    else:
        smallest = ceil(far / room)
    divisors = range(smallest, min(2 * smallest, window + 1))
    return next((divisor for divisor in divisors if window % divisor == 0), smallest)


@dataclass(frozen=True)
class SelfExtend(Distance):
    """Neutral: group = 1, or window ≥ length.

    Arguments:
        window: w, tokens at their true distance (left open: a quarter of the trained length L).
        group: G, tokens per group (left open: the authors' rule w + (length − w) / G ≤ L / 2, rounded up to a divisor
            of w where one lies within twice the smallest such G).

    >>> SelfExtend(window=4, group=2)(torch.tensor([3, 4, 9]), torch.tensor(0)).tolist()
    [3, 4, 6]
    """

    causal_only: ClassVar[bool] = True
    window: int | None = None
    group: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "window")
        self.require_at_least(1, "group")

    def fill(self, geometry: Geometry, length: int) -> "SelfExtend":
        """The window is a quarter of the trained length, and groups keep distances within half of it, where left open.

        Errors: SchemeError where the given window leaves no room below half the trained length.
        """
        window = geometry.trained_length // 4 if self.window is None else self.window
        if self.group is not None:
            return replace(self, window=window)
        group = group_within(geometry.trained_length, window, length)
        if group is None:
            raise SchemeError(
                f"self_extend: no group keeps distances within half the trained length {geometry.trained_length} "
                f"beyond a window of {window}: give group, or a window below {geometry.trained_length / 2:g}"
            )
        return replace(self, window=window, group=group)

    def capacity(self, trained_length: int) -> int:
        """The tokens that can be read without an untrained distance: (L − w) · G + w.

        >>> SelfExtend(window=1024, group=8).capacity(4096)
        25600
        """
        window, group = self.known(self.window, "window"), self.known(self.group, "group")
        return (trained_length - window) * group + window

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """i − j among neighbors, the difference of the groups beyond, shifted to continue at the window."""
        window, group = self.known(self.window, "window"), self.known(self.group, "group")
        true = query - key
        return torch.where(true < window, true, query // group - key // group + (window - window // group))

    def branches(self) -> tuple[Branch, ...]:
        """Neighbors are rotated to their positions; farther pairs to their groups, the query to w − ⌊w/G⌋ more."""
        window, group = self.known(self.window, "window"), self.known(self.group, "group")
        return (
            Branch(Identity(), Identity(), Band(-inf, window)),
            Branch(Floor(group, shift=window - window // group), Floor(group), Band(window, inf)),
        )

    @property
    def shift_period(self) -> int | None:
        """A shift by whole groups changes nothing."""
        return self.group

    def changes_nothing(self, length: int) -> bool:
        """Each token is its own group, or all are neighbors."""
        return self.group == 1 or (self.window is not None and self.window >= length)
