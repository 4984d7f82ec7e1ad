"""Causal: a query sees itself and what came before.

    mask(i, j) = j ≤ i

Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3.
"""

from dataclasses import dataclass
from typing import ClassVar

from longspan.slots import Direction


@dataclass(frozen=True)
class Causal(Direction):
    """Neutral: the default direction."""

    causal: ClassVar[bool] = True
