"""VQ: a vector is replaced by the nearest vector of a codebook, which follows the vectors that it replaces.

    z = argmin_s ‖x − c_s‖²        x̂ = x + sg(c_z − x): forward c_z, backward the identity

    n_s ← γ n_s + (1 − γ) #{x: z = s}       m_s ← γ m_s + (1 − γ) Σ_{x: z = s} x       c_s = m_s / n_s

    commitment = ‖x − sg(c_z)‖², which keeps vectors near their codes

A code whose count n_s falls below a threshold restarts at a vector of the present batch. Counts are kept in float32
at least: float16 stops counting at 2048.

Source: van den Oord et al. 2017, "Neural Discrete Representation Learning", arXiv:1711.00937, section 3, appendix A.1
(EMA); restarts: Dhariwal et al. 2020, "Jukebox", arXiv:2005.00341, section 3; γ = 0.99 as in Lingle 2023,
"Transformer-VQ", arXiv:2309.16354.
Differs from the paper: n_s is not smoothed towards a uniform distribution; a code without vectors restarts instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.errors import ShapeError

Codebook = Mapping[str, Tensor]
"""`count` (codes), n_s; `sum` (codes, width), m_s. Tensors are never changed in place."""


@dataclass(frozen=True)
class VQ:
    """A codebook learned by exponential moving averages.

    Arguments:
        codes: S, vectors of the codebook.
        decay: γ, of the averages, per update.
        restart: counts below this restart; 0 never restarts.

    >>> import torch
    >>> vq = VQ(codes=2)
    >>> book = vq.start(torch.tensor([[0.0, 0.0], [4.0, 0.0]]))
    >>> vq.nearest(torch.tensor([[3.0, 1.0], [-1.0, 0.0]]), book).tolist()
    [1, 0]
    """

    codes: int = 512
    decay: float = 0.99
    restart: float = 0.01

    def __post_init__(self) -> None:
        if self.codes < 1 or not 0 <= self.decay < 1 or self.restart < 0:
            raise ShapeError(
                f"a codebook needs codes ≥ 1, 0 ≤ decay < 1 and restart ≥ 0, got codes={self.codes}, "
                f"decay={self.decay} and restart={self.restart}"
            )

    def start(
        self, vectors: Float[Tensor, "vectors width"], generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return a codebook of k-means++: vectors of the data, each drawn by its squared distance to those before it.

        Errors: ShapeError without any vector.
        """
        if not len(vectors):
            raise ShapeError("a codebook starts from vectors, got none")
        exact = vectors.detach().to(torch.promote_types(vectors.dtype, torch.float32))
        chosen = [0]
        far = (exact - exact[0]).square().sum(-1)
        while len(chosen) < self.codes:
            # Where every vector is a code already, codes repeat.
            shares = far if far.sum() > 0 else torch.ones_like(far)
            chosen.append(int(torch.multinomial(shares, 1, generator=generator)))
            far = torch.minimum(far, (exact - exact[chosen[-1]]).square().sum(-1))
        return {"count": exact.new_ones(self.codes), "sum": exact[chosen].clone()}

    def vectors(self, book: Codebook) -> Float[Tensor, "codes width"]:
        """The codes c_s."""
        return book["sum"] / book["count"].clamp(min=torch.finfo(book["count"].dtype).tiny)[:, None]

    def nearest(self, x: Float[Tensor, "*batch width"], book: Codebook) -> Int64[Tensor, "*batch"]:
        """The code of each vector, by distances in float32 at least; of several at the same distance, the first."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        codes = self.vectors(book).to(x.dtype)
        return (codes.square().sum(-1) - 2 * x @ codes.T).argmin(-1)  # ‖x‖² is the same for all

    def quantize(
        self, x: Float[Tensor, "*batch width"], book: Codebook
    ) -> tuple[Float[Tensor, "*batch width"], Int64[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Return x̂ with the gradient of x, the codes, and the commitment of each vector in float32 at least."""
        found = self.nearest(x.detach(), book)
        code = self.vectors(book).to(x.dtype)[found]
        apart = (x - code.detach()).to(torch.promote_types(x.dtype, torch.float32))
        return x + (code - x).detach(), found, apart.square().sum(-1)

    def update(
        self, x: Float[Tensor, "vectors width"], book: Codebook, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the codebook after a batch of vectors; codes that have fallen out of use restart at some of them."""
        exact = x.detach().to(book["sum"].dtype)
        found = self.nearest(exact, book)
        count = torch.zeros_like(book["count"]).index_add(0, found, exact.new_ones(len(exact)))
        total = torch.zeros_like(book["sum"]).index_add(0, found, exact)
        count = self.decay * book["count"] + (1 - self.decay) * count
        total = self.decay * book["sum"] + (1 - self.decay) * total
        unused = count < self.restart
        if not len(exact) or not unused.any():
            return {"count": count, "sum": total}
        places = torch.randint(0, len(exact), (self.codes,), generator=generator).to(exact.device)
        return {
            "count": torch.where(unused, 1.0, count),
            "sum": torch.where(unused[:, None], exact[places], total),
        }


@dataclass(frozen=True)
class Usage:
    """How much of a codebook is used.

    Arguments:
        used: share of the codes that occur at all.
        perplexity: e to the entropy of the codes' frequencies; as many codes of equal frequency would be as rich.
    """

    used: float
    perplexity: float

    @classmethod
    def of(cls, found: Int64[Tensor, "*batch"], codes: int) -> "Usage":
        """Return the usage of a codebook of `codes` codes by the codes that were found."""
        shares = torch.bincount(found.flatten(), minlength=codes).double()
        shares = shares / shares.sum()
        return cls(float((shares > 0).double().mean()), exp(float(torch.special.entr(shares).sum())))
