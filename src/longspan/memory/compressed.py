"""Compressed memory: far keys are kept as a fixed number of codes, with counts and mean values.

    score(i, s) = scale · ⟨R(w) q_i, c_s⟩ + ln n_s        for the code s of n_s far keys, c_s their mean
    value of s  = the mean of the n_s values

Codes are found by k-means as blocks of w tokens become far: the first keys are codes themselves, each later one joins
the code that is nearest to it before rotation. All far keys have the relative position w (`rerope`), because rotated
keys drift with their position. A score and a value are those that the keys of a code would have together if all of
them were equal, so that a code for every far key is `rerope` itself.

Source: Lingle 2023, "Transformer-VQ: Linear-Time Transformers via Vector Quantization", arXiv:2309.16354, section 3
(blocks, codes, ln n_s, mean values); k-means on the keys of a trained model, and ReRoPE as the position of far keys: Su
2023, kexue.fm/archives/9844.
Differs from the paper: near keys are exact, and the codebook is found while reading and not trained.
"""

from dataclasses import dataclass, replace

from longspan.geometry import Geometry
from longspan.slots import Memory


@dataclass(frozen=True)
class Compressed(Memory):
    """It stands beside `rerope(window=w)`; without it, w is a quarter of the trained length.

    Neutral: as many codes as there are far keys.

    What a layer keeps does not grow with the text: fewer than 2w tokens as they are, and S codes for each key head.

    Arguments:
        codes: S, codes for each key head: the knob between memory and error (left open: an eighth of the trained
            length).

    >>> Compressed(codes=64).fill(Geometry(4, 4, 64, trained_length=512), 4096).codes
    64
    """

    codes: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "codes")

    def fill(self, geometry: Geometry, length: int) -> "Compressed":
        """An eighth of the trained length where left open."""
        return replace(self, codes=max(1, geometry.trained_length // 8)) if self.codes is None else self

    def changes_nothing(self, length: int) -> bool:
        """Every far key has a code of its own."""
        return self.codes is not None and self.codes >= length
