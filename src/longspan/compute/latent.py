"""Multi-head latent attention (MLA) over the latents themselves, without expanding them to keys and values.

    k_j = [ W_UK c_j , r_j ]        v_j = W_UV c_j        c the latent, r the rotated key that all heads share

Two products may be taken in another order, which is all that absorbed attention is:

    q · k_j  = (W_UKᵀ q_content) · c_j + q_rotary · r_j          Σ_j p_j v_j = W_UV ( Σ_j p_j c_j )

Multiplications of one head, for T new tokens over N cached ones, with the widths of `LatentWidths`:

    expanded = N · latent · (content + value) + T · N · (content + rotary + value)
    absorbed = T · latent · (content + value) + T · N · (2 · latent + rotary)

With the widths of DeepSeek V2 and V3 and a long cache, absorbing pays for up to 170 new tokens.

Source: DeepSeek-AI 2024, "DeepSeek-V2", arXiv:2405.04434, section 2.1 and appendix C; absorbed in series, as
github.com/deepseek-ai/DeepSeek-V3, inference/model.py, does it.
"""

from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LOWEST = -3e4
"""Added to the score of a hidden key: finite in every dtype, and its share of a row is zero."""
SCORES = 2**24
"""So many scores are held at a time."""


@dataclass(frozen=True)
class LatentWidths:
    """Channels of latent attention, per token or per head.

    Arguments:
        latent: d_c, of the latent that is cached.
        rotary: d_R, of the rotated key that is cached and that all heads share.
        content: d_n, of the part of a query and a key that is not rotated, per head.
        value: d_v, per head.
    """

    latent: int
    rotary: int
    content: int
    value: int

    def expanded(self, new: int, cached: int) -> int:
        """Multiplications of one head for `new` queries, with keys and values expanded from `cached` latents."""
        expanding = cached * self.latent * (self.content + self.value)
        return expanding + new * cached * (self.content + self.rotary + self.value)

    def absorbed(self, new: int, cached: int) -> int:
        """Multiplications of one head for `new` queries over `cached` latents as they are."""
        return new * self.latent * (self.content + self.value) + new * cached * (2 * self.latent + self.rotary)

    def absorbs(self, new: int, cached: int) -> bool:
        """Return whether absorbing costs no more than expanding."""
        return self.absorbed(new, cached) <= self.expanded(new, cached)

    @property
    def break_even(self) -> float:
        """New tokens from which expanding is cheaper over a long cache; inf where it never is."""
        saved = 2 * self.latent - self.content - self.value
        return self.latent * (self.content + self.value) / saved if saved > 0 else inf


@dataclass(frozen=True, eq=False)
class Expansion:
    """The weights that expand a latent: W_UK and W_UV.

    Arguments:
        key: (heads, content, latent).
        value: (heads, value, latent).
    """

    key: Float[Tensor, "heads content latent"]
    value: Float[Tensor, "heads value latent"]

    @classmethod
    def of(cls, weight: Float[Tensor, "channels latent"], content: int, value: int) -> "Expansion":
        """Read one matrix whose rows are, head after head, those of the key and then those of the value."""
        heads = weight.unflatten(0, (-1, content + value))
        return cls(heads[:, :content], heads[:, content:])

    def absorb(self, content: Float[Tensor, "batch heads new content"]) -> Float[Tensor, "batch heads new latent"]:
        """W_UKᵀ q: the query that meets latents."""
        return torch.einsum("bhtn,hnc->bhtc", content, self.key)

    def values(self, mixed: Float[Tensor, "batch heads new latent"]) -> Float[Tensor, "batch heads new value"]:
        """W_UV c: the output, from latents mixed by the weights of attention."""
        return torch.einsum("bhtc,hvc->bhtv", mixed, self.value)

    def expand(
        self, latent: Float[Tensor, "batch cached latent"]
    ) -> tuple[Float[Tensor, "batch heads cached content"], Float[Tensor, "batch heads cached value"]]:
        """The content part of every head's keys, and the values."""
        return (
            torch.einsum("blc,hnc->bhln", latent, self.key),
            torch.einsum("blc,hvc->bhlv", latent, self.value),
        )


def latent_attention(
    content: Float[Tensor, "batch heads new content"],
    rotary: Float[Tensor, "batch heads new rotary"],
    latent: Float[Tensor, "batch cached latent"],
    key: Float[Tensor, "batch cached rotary"],
    expansion: Expansion,
    scale: float,
    mask: Bool[Tensor, "_ _ new cached"] | Float[Tensor, "_ _ new cached"] | None = None,
) -> Float[Tensor, "batch heads new value"]:
    """Softmax attention, absorbed in series: W_UK into queries, W_UV after the sum. Memory is linear in `cached`.

    Arguments:
        content, rotary: the two parts of the queries; the second is rotated.
        latent, key: what the cache holds of each token; `key` is rotated.
        expansion: W_UK and W_UV.
        scale: of the scores, 1/√(content + rotary) unless the model says otherwise.
        mask: True where a query sees a key, or a number that is added to the score; None where all see all.
    """
    (batch, heads, new, _), cached = content.shape, latent.shape[1]
    met, met_rotary = expansion.absorb(content * scale), rotary * scale
    rows = max(1, SCORES // (batch * heads * cached))
    found = [
        _mix(met[:, :, t : t + rows], met_rotary[:, :, t : t + rows], latent, key, _rows(mask, t, rows))
        for t in range(0, new, rows)
    ]
    return expansion.values(found[0] if len(found) == 1 else torch.cat(found, 2))


def _rows(mask: Tensor | None, start: int, rows: int) -> Tensor | None:
    return mask if mask is None or mask.shape[2] == 1 else mask[:, :, start : start + rows]


def _mix(met: Tensor, rotary: Tensor, latent: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """Mix latents by attention; the queries of all heads are rows against the one head of the cache."""
    scores = torch.baddbmm(rotary.flatten(1, 2) @ key.mT, met.flatten(1, 2), latent.mT)
    if mask is not None:
        if (
            mask.dtype == torch.bool
        ):  # finite, because a row that sees nothing is padding and its output is read by none
            mask = torch.zeros(mask.shape, dtype=scores.dtype, device=mask.device).masked_fill(~mask, LOWEST)
        scores = (scores.unflatten(1, met.shape[1:3]) + mask).flatten(1, 2)
    weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(latent.dtype)
    return (weights @ latent).unflatten(1, met.shape[1:3])
