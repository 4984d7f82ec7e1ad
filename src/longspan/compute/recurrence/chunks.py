"""A recurrence on matrices, in chunks: products of whole chunks inside, one state between them.

    S_t = γ S_{t−1} + k_tᵀ v_t        y_t = q_t S_t

    inside a chunk   (Q Kᵀ ⊙ D) V,  D_ij = γ^{i−j} for i ≥ j
    from before it   γ^{i+1} q_i S
    after it         γ^C S + Σ_j γ^{C−1−j} k_jᵀ v_j

Linear attention has γ = 1, RetNet one γ for each head. n tokens cost n · C products of features instead of n².

Source: Sun et al. 2023, "Retentive Network", arXiv:2307.08621, eq. 7; Hua et al. 2022, "Transformer Quality in Linear
Time", arXiv:2202.10447.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.errors import ShapeError
from longspan.slots import State

TOGETHER = 8
"""Chunks computed at once: what lies between them stays in the caches of the processor, however long the text is."""
STRIP = 16
"""Chunks whose queries, keys and values a mixer makes at once, for the same reason."""


def in_strips(
    x: Float[Tensor, "batch tokens hidden"],
    chunk: int,
    state: State,
    read: Callable[[Tensor, State], tuple[Tensor, State]],
) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
    """Read a text strip by strip, each of `STRIP` chunks, and return all outputs and the last state.

    Arguments:
        state: before the first token.
        read: from a strip and the state before it to its outputs and the state after it.
    """
    outputs = []
    for strip in x.split(chunk * STRIP, 1):
        y, state = read(strip, state)
        outputs.append(y)
    return torch.cat(outputs, 1), state


def chunk_recurrence(
    query: Float[Tensor, "batch heads tokens features"],
    key: Float[Tensor, "batch heads tokens features"],
    value: Float[Tensor, "batch heads tokens value_dim"],
    decay: Float[Tensor, " heads"],
    state: Float[Tensor, "batch heads features value_dim"],
    chunk: int,
) -> tuple[Float[Tensor, "batch heads tokens value_dim"], Float[Tensor, "batch heads features value_dim"]]:
    """Return all outputs and the last state.

    Arguments:
        decay: γ, 0 … 1.
        state: S before the first token.
        chunk: tokens of a chunk; no result depends on it.

    Errors: ShapeError for a chunk below 1.
    """
    if chunk < 1:
        raise ShapeError(f"a chunk must have at least 1 token, got {chunk}")
    tokens = query.shape[2]
    chunk = min(chunk, max(tokens, 1))
    whole = tokens - tokens % chunk
    pieces = [(start, min(start + TOGETHER * chunk, whole), chunk) for start in range(0, whole, TOGETHER * chunk)]
    pieces += [(whole, tokens, tokens - whole)] if whole < tokens else []
    outputs = []
    for start, stop, size in pieces:
        q, k, v = (each[:, :, start:stop].unflatten(2, (-1, size)) for each in (query, key, value))
        y, state = _equal_chunks(q, k, v, decay, state)
        outputs.append(y.flatten(2, 3))
    return torch.cat(outputs, 2) if outputs else value, state


def _equal_chunks(query: Tensor, key: Tensor, value: Tensor, decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """The same on (batch, heads, chunks, size, …)."""
    size = query.shape[3]
    place = torch.arange(size, device=query.device)
    powers = decay[:, None] ** torch.arange(size + 1, device=query.device)  # (heads, size + 1)
    behind = (place[:, None] - place).clamp(min=0)
    inside = powers[:, behind].tril()[:, None]  # (heads, 1, size, size)
    kept = key * powers[:, :size].flip(1)[:, None, :, None]
    lasting, before = powers[:, size, None, None], []
    for gained in (kept.mT @ value).unbind(2):  # (batch, heads, features, value_dim), a chunk after the other
        before.append(state)
        state = lasting * state + gained
    y = (query @ key.mT * inside) @ value
    y = y + (query * powers[:, 1:, None][:, None]) @ torch.stack(before, 2)
    return y, state
