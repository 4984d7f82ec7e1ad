"""Log-n scaling: a query that sees more keys gets larger scores, so that the entropy of its weights stays.

    sharpness(i) = max(1, ln n_i / ln L)             form "inference": unchanged up to the trained length L
    sharpness(i) = ln n_i / ln L                     form "training"
    sharpness(i) = g²                                form "gain": g = max(1, 0.05 · ln(n_i / L) + 1) on query and key
    n_i: the number of keys that the query sees, itself included

Source: Su 2021, "Attention's scale from entropy invariance", kexue.fm/archives/8823; Su 2023, kexue.fm/archives/9708
(the inference form); github.com/HKUNLP/ChunkLlama, the released code of dual chunk attention (the gain).
Differs from the paper: ChunkLlama's n is the length of the prompt for all queries, and a cached key keeps the gain of
its own step; here n counts what the query itself sees, so that decoding equals reading at once.
"""

from dataclasses import dataclass, replace
from math import log
from typing import Literal

from jaxtyping import Float64, Int64
from torch import Tensor

from longspan.geometry import Geometry
from longspan.slots import Sharpness, Weights

GAIN_PER_LOG = 0.05
"""By how much the gain grows where the text grows e times as long: half of what YaRN's does."""


@dataclass(frozen=True)
class LogLength(Sharpness):
    """Neutral: form "inference" or "gain" with trained_length ≥ length.

    Arguments:
        trained_length: L, tokens (left open: from the geometry).
        form: "inference" or "gain" for a model trained without it, "training" for one trained with it.

    >>> import torch
    >>> LogLength(trained_length=4)(torch.tensor([[[2, 4, 16]]]), {}).tolist()
    [[[1.0, 1.0, 2.0]]]
    """

    trained_length: int | None = None
    form: Literal["inference", "training", "gain"] = "inference"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(2, "trained_length")
        self.require(self.form in ("inference", "training", "gain"), "form", "'inference', 'training' or 'gain'")

    def fill(self, geometry: Geometry, length: int) -> "LogLength":
        """The trained length where left open."""
        return replace(self, trained_length=geometry.trained_length) if self.trained_length is None else self

    def __call__(
        self, visible: Int64[Tensor, "batch 1 queries"], weights: Weights
    ) -> Float64[Tensor, "batch 1 queries"]:
        """The form's factor; a query that sees nothing counts as one that sees one key."""
        seen, trained = visible.clamp(min=1).double().log(), log(self.known(self.trained_length, "trained_length"))
        if self.form == "gain":
            return (GAIN_PER_LOG * (seen - trained) + 1).clamp(min=1.0).square()
        growth = seen / trained
        return growth.clamp(min=1.0) if self.form == "inference" else growth

    def changes_nothing(self, length: int) -> bool:
        """No query sees more keys than the trained length."""
        return self.form != "training" and self.trained_length is not None and self.trained_length >= length
