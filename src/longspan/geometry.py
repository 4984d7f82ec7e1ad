"""What a method needs to know about a model: sizes and the length it was trained on."""

from dataclasses import dataclass, replace

from longspan.errors import SchemeError


@dataclass(frozen=True)
class Geometry:
    """The sizes of one attention layer and the length it was trained on.

    Arguments:
        num_heads: query heads.
        num_kv_heads: key and value heads; divides `num_heads`.
        head_dim: channels per head.
        trained_length: tokens the model was trained on, L.
        theta: base of the model's rotary frequencies; None for a model without rotation.
        unscaled_length: tokens it was trained on before the rescaling it was published with; None without a rescaling.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    trained_length: int
    theta: float | None = 10000.0
    unscaled_length: int | None = None

    def __post_init__(self) -> None:
        if self.num_kv_heads < 1 or self.num_heads % self.num_kv_heads:
            raise SchemeError(
                f"num_kv_heads must divide num_heads: {self.num_kv_heads} does not divide {self.num_heads}"
            )
        if self.head_dim < 1 or self.trained_length < 1:
            raise SchemeError(
                f"head_dim and trained_length must be at least 1, got {self.head_dim} and {self.trained_length}"
            )

    def without_rescaling(self) -> "Geometry":
        """Return the geometry before the model's own rescaling; a rotation that is named on top of it replaces it."""
        return replace(self, trained_length=self.unscaled_length or self.trained_length, unscaled_length=None)
