"""What a GGUF file says about positions: fields of its header, and factors on its frequencies."""

from dataclasses import dataclass
from pathlib import Path

FACTOR_TENSORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors by which llama.cpp divides frequencies, on top of every scaling that its header or flags name."""


@dataclass(frozen=True)
class GgufHeader:
    """The position fields of a GGUF file.

    Arguments:
        scaling: rope.scaling.type of the header: "none", "linear", "yarn", "longrope"; empty where it names none.
        factor: rope.scaling.factor; 1 where it names none.
        original_length: rope.scaling.original_context_length, tokens; None where it names none.
        factors: names of tensors that hold factors other than 1.
    """

    scaling: str
    factor: float
    original_length: int | None
    factors: tuple[str, ...]

    @property
    def rescales(self) -> bool:
        """Whether the header asks for a rescaling."""
        return self.scaling in ("linear", "yarn") and self.factor != 1.0


def read_header(path: Path) -> GgufHeader:
    """Read the position fields of a GGUF file."""
    from gguf import GGUFReader

    reader = GGUFReader(path)

    def field(name: str) -> object:
        found = [value for key, value in reader.fields.items() if key.endswith(f".rope.scaling.{name}")]
        return found[0].contents() if found else None

    factors = [
        tensor.name for tensor in reader.tensors if tensor.name in FACTOR_TENSORS and bool((tensor.data != 1).any())
    ]
    factor, original = field("factor"), field("original_context_length")
    return GgufHeader(
        scaling=str(field("type") or ""),
        factor=float(factor) if isinstance(factor, int | float) else 1.0,
        original_length=int(original) if isinstance(original, int | float) else None,
        factors=tuple(factors),
    )
