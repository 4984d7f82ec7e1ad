"""Zigzag: which tokens of a sequence each process holds.

The sequence is cut into 2 R chunks for R processes, and process r holds chunks r and 2 R − 1 − r: under a causal mask
every process then computes the same number of pairs.

Source: zhuzilin/ring-flash-attention (zigzag), after Brandon et al. 2023, "Striped Attention", arXiv:2311.09431.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from longspan.errors import ShapeError


@dataclass(frozen=True)
class Zigzag:
    """Which tokens of a sequence each process holds.

    Arguments:
        ranks: R, processes.
        length: tokens of the whole sequence, a multiple of 2 R.

    >>> Zigzag(2, 8).orders(0).tolist()
    [0, 1, 6, 7]

    Errors: ShapeError for another length.
    """

    ranks: int
    length: int

    def __post_init__(self) -> None:
        if self.ranks < 1 or self.length < 1 or self.length % (2 * self.ranks):
            raise ShapeError(
                f"a sequence for {self.ranks} processes must be a multiple of {2 * self.ranks} tokens, got "
                f"{self.length}"
            )

    @property
    def size(self) -> int:
        """Tokens of a chunk."""
        return self.length // (2 * self.ranks)

    def chunks(self, rank: int) -> tuple[int, int]:
        """The two chunks of a process."""
        return rank, 2 * self.ranks - 1 - rank

    def owner(self, chunk: int) -> int:
        """The process that holds a chunk."""
        return min(chunk, 2 * self.ranks - 1 - chunk)

    def orders(self, rank: int) -> Int64[Tensor, " tokens"]:
        """The orders of a process's tokens in the whole sequence, in the order in which it holds them."""
        return torch.cat([torch.arange(chunk * self.size, (chunk + 1) * self.size) for chunk in self.chunks(rank)])
