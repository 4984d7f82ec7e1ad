"""Bidirectional: a query sees the whole document.

    mask(i, j) = true

Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3 (the encoder).
"""

from dataclasses import dataclass
from typing import ClassVar

from longspan.slots import Direction


@dataclass(frozen=True)
class Bidirectional(Direction):
    """Neutral: never; `causal` is the default."""

    causal: ClassVar[bool] = False
