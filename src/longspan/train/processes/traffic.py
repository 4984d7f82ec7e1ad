"""What a process sends to others in a step, in bytes, where processes share weights and gradients.

    all-reduce of B bytes among n                     2 (n − 1) / n · B        a reduce-scatter and an all-gather
    all-gather and reduce-scatter, B bytes in all     (n − 1) / n · B          each part is sent on n − 1 times

These are the least numbers that any algorithm can do with, and those of a ring. The test counts what PyTorch is asked
to move. Not in them are single numbers, such as the loss and the norm.

Source: Patarasuk & Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations", JPDC 69:117;
Rajbhandari et al. 2020, "ZeRO", arXiv:1910.02054, section 7.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Traffic:
    """What one process sends in one step.

    Arguments:
        weights, gradients: bytes.
    """

    weights: float = 0.0
    gradients: float = 0.0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.weights + other.weights, self.gradients + other.gradients)

    def times(self, count: int) -> "Traffic":
        """Return that of several times the same."""
        return Traffic(self.weights * count, self.gradients * count)


def replicated(parameters: Iterable[nn.Parameter], count: int) -> Traffic:
    """Return the traffic of processes that each hold all weights."""
    size = sum(each.numel() * each.element_size() for each in parameters if each.requires_grad)
    return Traffic(gradients=2 * (count - 1) / count * size)


def sharded(parameters: Iterable[nn.Parameter], count: int, gathers: int) -> Traffic:
    """Return the traffic of one part of a step for weights that are gathered together.

    Arguments:
        count: of processes that share them.
        gathers: how often they are gathered: forward, and backward where they were given up between.
    """
    own = list(parameters)
    share = (count - 1) / count
    gradients = share * sum(filled(each, count) for each in own if each.requires_grad)
    return Traffic(gathers * share * sum(filled(each, count) for each in own), gradients)


def filled(parameter: nn.Parameter, count: int) -> int:
    """Return the bytes of a parameter whose rows are filled up so that `count` processes have equally many."""
    rows = parameter.shape[0]
    return (rows + -rows % count) * (parameter.numel() // rows) * parameter.element_size()
