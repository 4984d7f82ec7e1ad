"""Monarch matrices: two block-diagonal factors and a permutation between them, instead of a dense matrix.

    M = P L P R        M[(i, j), (k, l)] = L_j[i, k] R_k[j, l]        n = m²: L and R each have m blocks of m × m

With b blocks of another number than √n, more numbers may go from a block of R to a block of L, the rank ρ:

    M[(i, j), (k, l)] = Σ_ρ L_j[i, (k, ρ)] R_k[(j, ρ), l]            2 n b ρ numbers, and as many multiplications

b = √n and ρ = 1 are the paper's 2 n^{1.5}; ρ = n/b² are two factors of b square blocks, 2 n²/b numbers.

The nearest Monarch matrix to a dense one, in the Frobenius norm, is found slice by slice: for given (j, k) the entries
are a matrix (i, l) of rank ρ, and no two slices share a number, so that each has its best approximation of that rank.

Source: Dao et al. 2022, "Monarch: Expressive Structured Matrices for Efficient and Accurate Training",
arXiv:2204.00595, sections 3.1 to 3.3; kexue.fm/archives/10249.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from longspan.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Monarch:
    """A Monarch matrix of (outputs · blocks) × (blocks · inputs), real or complex.

    Arguments:
        first: R, each block of inputs gives `rank` numbers to each block of outputs.
        second: L, what a block of outputs makes of them.
    """

    first: Shaped[Tensor, "blocks blocks rank inputs"]
    second: Shaped[Tensor, "blocks outputs blocks rank"]

    def __matmul__(self, x: Shaped[Tensor, "*batch channels"]) -> Shaped[Tensor, "*batch out"]:
        """M x, for vectors in the last dimension."""
        blocks, _, _, inputs = self.first.shape
        middle = torch.einsum("kjrl,...kl->...jkr", self.first, x.unflatten(-1, (blocks, inputs)))
        return torch.einsum("jikr,...jkr->...ij", self.second, middle).flatten(-2)

    def dense(self) -> Shaped[Tensor, "out channels"]:
        """The matrix written out."""
        entries = torch.einsum("jikr,kjrl->ijkl", self.second, self.first)
        return entries.flatten(2).flatten(0, 1)

    @classmethod
    def nearest(cls, matrix: Shaped[Tensor, "out channels"], blocks: int, rank: int = 1) -> "Monarch":
        """Return the nearest one in the Frobenius norm.

        Errors: ShapeError where a side cannot be divided into so many blocks.
        """
        rows, columns = matrix.shape
        if blocks < 1 or rows % blocks or columns % blocks:
            raise ShapeError(f"{blocks} blocks do not divide a matrix of {rows} × {columns}: pad it, or use fewer")
        slices = matrix.view(rows // blocks, blocks, blocks, columns // blocks).permute(1, 2, 0, 3)  # j, k: i × l
        exact = slices.to(torch.promote_types(matrix.dtype, torch.float32))  # shorter types have no decomposition
        left, sizes, right = torch.linalg.svd(exact, full_matrices=False)
        root = sizes[..., :rank].sqrt()
        second, first = left[..., :rank] * root[..., None, :], right[..., :rank, :] * root[..., None]
        first, second = first.to(matrix.dtype), second.to(matrix.dtype)
        return cls(first.transpose(0, 1).contiguous(), second.transpose(1, 2).contiguous())


class MonarchLinear(nn.Module):
    """A linear layer whose matrix is a Monarch matrix.

    Arguments:
        in_features, out_features: channels; both are divided by `blocks`.
        blocks: b; 4 as in the paper's experiments.
        rank: ρ; None for square blocks, the narrower side divided by b².
        bias: whether a bias is added.
        generator: of the numbers at the start.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        blocks: int = 4,
        rank: int | None = None,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if blocks < 1 or in_features % blocks or out_features % blocks:
            raise ShapeError(
                f"{blocks} blocks do not divide a layer of {in_features} inputs and {out_features} outputs: "
                "use a number that divides both"
            )
        self.in_features, self.out_features = in_features, out_features
        rank = max(1, min(in_features, out_features) // blocks**2) if rank is None else rank
        # Each factor keeps the variance of what goes through it.
        self.first = nn.Parameter(torch.randn(blocks, blocks, rank, in_features // blocks, generator=generator))
        self.second = nn.Parameter(torch.randn(blocks, out_features // blocks, blocks, rank, generator=generator))
        with torch.no_grad():
            self.first.mul_((blocks / in_features) ** 0.5)
            self.second.mul_((blocks * rank) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    @classmethod
    def of(cls, layer: nn.Linear, blocks: int = 4, rank: int | None = None) -> "MonarchLinear":
        """Return the nearest Monarch layer to a dense one."""
        made = cls(layer.in_features, layer.out_features, blocks, rank, layer.bias is not None)
        found = Monarch.nearest(layer.weight.detach(), blocks, made.first.shape[2])
        made.first, made.second = nn.Parameter(found.first), nn.Parameter(found.second)
        if layer.bias is not None:
            made.bias = nn.Parameter(layer.bias.detach().clone())
        return made

    def forward(self, x: Float[Tensor, "*batch channels"]) -> Float[Tensor, "*batch out"]:
        """M x + b."""
        found = Monarch(self.first, self.second) @ x
        return found if self.bias is None else found + self.bias
