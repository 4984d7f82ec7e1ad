"""One causal self-attention call on random numbers, for identities between schemes."""

from typing import Any

import torch
from torch import Tensor

from longspan.compute.attend import attend
from longspan.scheme import Scheme
from longspan.slots import Part

EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}
PLACES, HEAD_DIM = 6, 8


def output(*parts: Part, positions: Tensor | None = None, backend: str = "reference") -> Tensor:
    """What attention over a few places gives in float64; the same query, key and value for every scheme."""
    generator = torch.Generator().manual_seed(1)
    query, key, value = torch.randn(3, 1, 2, PLACES, HEAD_DIM, dtype=torch.float64, generator=generator)
    return attend(query, key, value, Scheme.of(*parts), key_positions=positions, backend=backend)
