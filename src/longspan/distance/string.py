"""STRING: far distances are overwritten by nearer, frequent ones, below the trained length as well as beyond it.

    distance(r) = r               r < S                    r = i − j
                  r − S + W       r ≥ S

Source: An et al. 2024, "Why Does the Effective Context Length of LLMs Fall Short?", arXiv:2410.18745; authors' code:
github.com/HKUNLP/STRING.
"""

from dataclasses import dataclass, replace
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from longspan.geometry import Geometry
from longspan.position_map import Identity, Shift
from longspan.slots import Band, Branch, Distance


@dataclass(frozen=True)
class STRING(Distance):
    """Neutral: offset = local, or offset ≥ length.

    No distance is untrained up to a length of L + S − W tokens; cached keys keep their true position.

    Arguments:
        offset: S, tokens at their true distance (left open: a third of the trained length L; a quarter to 0.4 of it
            works).
        local: W, the distance at which the overwritten ones begin, at most S (left open: the authors' 128, or S/2 where
            that is smaller: they trained on thousands of tokens, and 128 of a short S would change little or nothing).

    >>> STRING(offset=4, local=2)(torch.tensor([3, 4, 9]), torch.tensor(0)).tolist()
    [3, 2, 7]
    """

    causal_only: ClassVar[bool] = True
    offset: int | None = None
    local: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "offset")
        self.require_at_least(0, "local")
        if self.offset is not None and self.local is not None:
            self.require(self.local <= self.offset, "local", f"at most offset = {self.offset}")

    def fill(self, geometry: Geometry, length: int) -> "STRING":
        """The authors' numbers where left open."""
        offset = max(1, int(0.33 * geometry.trained_length), self.local or 0) if self.offset is None else self.offset
        return replace(self, offset=offset, local=min(128, offset // 2) if self.local is None else self.local)

    def _numbers(self) -> tuple[int, int]:
        return self.known(self.offset, "offset"), self.known(self.local, "local")

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """r, and from S on S − W less."""
        offset, local = self._numbers()
        true = query - key
        return torch.where(true < offset, true, true - offset + local)

    def branches(self) -> tuple[Branch, ...]:
        """Keys are rotated to their position everywhere; for far ones the query is rotated S − W tokens less far."""
        offset, local = self._numbers()
        return (
            Branch(Identity(), Identity(), Band(-inf, offset)),
            Branch(Shift(local - offset), Identity(), Band(offset, inf)),
        )

    def changes_nothing(self, length: int) -> bool:
        """Nothing is overwritten."""
        return self.offset is not None and (self.offset == self.local or self.offset >= length)
