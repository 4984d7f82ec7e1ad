"""What a fused attention kernel offers, and which kernel serves which device."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from longspan.compute.kernels import cpu, cuda


@runtime_checkable
class Kernel(Protocol):
    """Flash attention on one kind of device; each module of this folder that implements it is one.

    Tensors are (batch, heads, tokens, d), keys and values with fewer heads where queries share them, not empty, and
    with the channels of a token side by side. `causal` lets query t see the keys 0 … t; `mask` is added to the scores.
    """

    VECTOR: int
    """With fewer keys than this, rows of NaN scores may come out as zeros: the caller looks for them."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, scale: float, causal: bool, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Output and log-sum-exp."""
        ...

    def backward(
        self,
        grad: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        out: Tensor,
        lse: Tensor,
        scale: float,
        causal: bool,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of query, key and value; exact for one tile of many if `out` and `lse` are those of whole rows."""
        ...

    def refusal(self, dtype: torch.dtype) -> str | None:
        """Why the kernel cannot compute in a dtype; None where it can."""
        ...

    def width(self, channels: int) -> int:
        """The channels per head that the kernel wants for queries, keys and values of up to `channels` channels."""
        ...

    def strip(self, dtype: torch.dtype) -> int | None:
        """Rows of a masked strip, the fastest measured in a dtype; None where triangles are faster than masks."""
        ...

    def halvings(self, batch: int, heads: int) -> int:
        """How often to halve causal tiles so that every thread gets an equal share of the work."""
        ...

    def mask_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """The dtype of a mask of zeros and −inf for queries of a dtype; such numbers are exact in any dtype."""
        ...


KERNELS: Mapping[str, Kernel] = MappingProxyType({"cpu": cpu, "cuda": cuda})
"""The kernel of each type of device."""
