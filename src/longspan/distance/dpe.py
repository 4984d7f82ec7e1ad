"""DPE: Self-Extend with a group size of its own for each section of the channel pairs.

    distance_p(i, j) = i − j                                    i − j < w
                       ⌊i/G_p⌋ − ⌊j/G_p⌋ + w − ⌊w/G_p⌋          i − j ≥ w
    G_p: group size of channel pair p = 0 … P−1, fastest first: number ⌊p · S / P⌋ of the S given ones

Source: Lu et al. 2025, "Effective Length Extrapolation via Dimension-Wise Positional Embeddings Manipulation",
arXiv:2504.18857 (COLM 2025); authors' code: github.com/LuLuLuyi/DPE.
Differs from the paper: the authors' code moves far queries by w − w/G, a fraction, when it reads a prompt, and by
w − ⌊w/G⌋ when it decodes; here the second rule holds for both, so that decoding equals reading at once. The two agree
where every G divides w. Their optional selection of key dimensions (in each head, only the pairs with the largest
‖q‖ · ‖k‖ on sample texts are mapped) is left out: it needs numbers measured on a model's own queries and keys.
"""

from dataclasses import dataclass, replace
from math import inf, lcm
from typing import ClassVar

import torch
from torch import Tensor

from longspan.distance.self_extend import SelfExtend, group_within
from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.position_map import Floor, Identity, PerSection
from longspan.slots import Band, Branch, Distance

USUAL_WINDOW = 1024
"""w of all four models that the authors publish sizes for."""
USUAL_SECTIONS = 8


@dataclass(frozen=True)
class DPE(Distance):
    """Neutral: all groups = 1, or window ≥ length.

    The authors find the group sizes on a needle test of each model, one section at a time. Theirs, with window = 1024:

        Meta-Llama-3-8B-Instruct      2, 8, 2, 8, 32, 32, 32, 4
        Meta-Llama-3.1-8B-Instruct    2, 32, 32, 2, 2, 2, 2, 1
        Mistral-7B-Instruct-v0.2      4, 16, 2, 16, 32, 16, 16, 2
        Qwen2.5-7B-Instruct           2, 16, 8, 8, 32, 8, 2, 4

    Arguments:
        window: w, tokens at their true distance (left open: 1024, or a quarter of the trained length where it is less).
        groups: G of each section, tokens per group; the first size belongs to the fastest pairs (left open: the size
            that `self_extend` would take, for each of eight sections, from where a search starts).

    >>> DPE(window=4, groups=(1, 2))(torch.tensor([3, 4, 9]), torch.tensor(0)).tolist()
    [[3, 3], [4, 4], [9, 6]]
    """

    causal_only: ClassVar[bool] = True
    by_section: ClassVar[bool] = True
    window: int | None = None
    groups: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "window")
        sizes = self.groups is None or (len(self.groups) > 0 and all(group >= 1 for group in self.groups))
        self.require(sizes, "groups", "one size or more, all at least 1")

    def fill(self, geometry: Geometry, length: int) -> "DPE":
        """The authors' window, and the group size of `self_extend` in eight sections, where left open.

        Errors: SchemeError where the given window leaves no room below half the trained length.
        """
        window = min(USUAL_WINDOW, geometry.trained_length // 4) if self.window is None else self.window
        if self.groups is not None:
            return replace(self, window=window)
        group = group_within(geometry.trained_length, window, length)
        if group is None:
            raise SchemeError(
                f"dpe: no group size keeps distances within half the trained length {geometry.trained_length} beyond "
                f"a window of {window}: give groups, or a window below {geometry.trained_length / 2:g}"
            )
        return replace(self, window=window, groups=(group,) * USUAL_SECTIONS)

    def per_section(self) -> tuple[SelfExtend, ...]:
        """One Self-Extend for each section of the channel pairs."""
        window = self.known(self.window, "window")
        return tuple(SelfExtend(window, group) for group in self.known(self.groups, "groups"))

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """The distance in each section, along a last axis."""
        return torch.stack([section(query, key) for section in self.per_section()], -1)

    def branches(self) -> tuple[Branch, ...]:
        """Those of `self_extend`, section by section."""
        window, groups = self.known(self.window, "window"), self.known(self.groups, "groups")
        neighbors = PerSection((Identity(),) * len(groups))
        ahead = PerSection(tuple(Floor(group, shift=window - window // group) for group in groups))
        grouped = PerSection(tuple(Floor(group) for group in groups))
        return (
            Branch(neighbors, neighbors, Band(-inf, window)),
            Branch(ahead, grouped, Band(window, inf)),
        )

    @property
    def shift_period(self) -> int | None:
        """A shift that moves whole groups in every section changes nothing."""
        return None if self.groups is None else lcm(*self.groups)

    def changes_nothing(self, length: int) -> bool:
        """Each token is its own group in all sections, or all are neighbors."""
        alone = self.groups is not None and set(self.groups) == {1}
        return alone or (self.window is not None and self.window >= length)
