"""What a query of a layer really sees: the model's own mask function, evaluated for single queries."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pattern:
    """A mask as a model's mask function describes it.

    Arguments:
        function: (batch, head, query index, key index) → whether the query sees the key.
        local_size: window or chunk that transformers' mask builder was given, tokens; None where it is unlimited.
    """

    function: Callable[..., Any]
    local_size: int | None

    def visible(self) -> tuple[int, int] | None:
        """The most keys up to itself (itself included), and the most keys after itself, that any query sees.

        Three queries stand for all: one in the middle of a window, and the last and first of a chunk. None where the
        layer is unlimited, or its function needs values that only a real forward pass has.
        """
        size = self.local_size
        if size is None:
            return None
        try:
            with_values(self.function)
            seen = [self._seen(query, 4 * size + 8) for query in (2 * size - 1, 2 * size, 2 * size + size // 2)]
        except (RuntimeError, NotImplementedError, TypeError, IndexError):
            return None
        return max(behind for behind, _ in seen), max(ahead for _, ahead in seen)

    def _seen(self, query: int, keys: int) -> tuple[int, int]:
        zero, key = torch.zeros((), dtype=torch.long), torch.arange(keys)
        allowed = torch.as_tensor(self.function(zero, zero, torch.tensor(query), key)).expand(keys)
        return int(allowed[: query + 1].sum()), int(allowed[query + 1 :].sum())


def with_values(function: Any) -> None:
    """Replace tensors without values that a function closes over by zeros, or by ones where they are truth values.

    transformers keeps the padding of each row there; a row without padding has zeros.
    """
    for cell in getattr(function, "__closure__", None) or ():
        held = cell.cell_contents
        if isinstance(held, Tensor) and held.is_meta:
            cell.cell_contents = (torch.ones if held.dtype == torch.bool else torch.zeros)(held.shape, dtype=held.dtype)
        for inner in held if isinstance(held, tuple | list) else (held,):
            if callable(inner):
                with_values(inner)
