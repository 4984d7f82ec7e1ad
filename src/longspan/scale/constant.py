"""Constant: one fixed factor on all scores, in place of 1/√head_dim.

    scale = value

Source: github.com/lucidrains/x-transformers, where it is 10 with cosine attention.
"""

from dataclasses import dataclass

from longspan.slots import Scale, Weights


@dataclass(frozen=True)
class Constant(Scale):
    """Neutral: value = 1/√head_dim.

    Arguments:
        value: the factor; 0 makes attention uniform.
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "value")

    def __call__(self, base: float, weights: Weights) -> float:
        """The value, whatever the model's own number."""
        return self.value
