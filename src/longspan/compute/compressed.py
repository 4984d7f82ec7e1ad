"""A cache of fixed size: the last tokens as they are, all older ones as codes with counts and mean values.

What is kept, and what is computed from it, is `longspan.compute.dense.memory`; the method is `longspan.memory`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from longspan.autocast import lowered, without_autocast
from longspan.compute.attend import attend
from longspan.compute.dense import memory
from longspan.compute.dense.memory import Kept
from longspan.compute.inputs import Inputs, check_arguments, check_numbers, check_tensors, known_scheme
from longspan.compute.places import PADDING, Places
from longspan.errors import RefusalError, SchemeError, ShapeError
from longspan.scheme import Scheme


class CompressedCache:
    """One attention layer that reads on with as much memory and work for the millionth token as for the first far one.

    It gives what `attend` gives on all tokens so far, however they are cut. The positions of tokens are 0, 1, 2 … in
    each row of the batch, padding left out; rows do not depend on each other.

    Arguments:
        scheme: with a memory, as in "rerope(window=512) + log_length(2048) + compressed(codes=256)".
        weights, scale: as in `attend`.

    Errors: SchemeError for a scheme without a memory, and for weights or a scale that mean nothing.

    >>> cache, token = CompressedCache("rerope(window=4) + compressed(codes=2)"), torch.ones(1, 2, 1, 8)
    >>> for _ in range(10):
    ...     out = cache.attend(token, token, token)
    >>> out.shape, cache.length, cache.nbytes
    (torch.Size([1, 2, 1, 8]), 10, 1104)
    """

    def __init__(
        self, scheme: Scheme | str, *, weights: Mapping[str, Tensor] | None = None, scale: float | None = None
    ) -> None:
        scheme, weights = known_scheme(scheme), {} if weights is None else dict(weights)
        check_numbers(weights, scale)
        if scheme.memory is None:
            raise SchemeError(
                "this scheme keeps all keys: name a memory, as in 'rerope(window=512) + compressed(codes=64)'"
            )
        self.scheme, self.weights, self.scale = scheme, weights, scale
        self._rows: tuple[Kept | None, ...] = ()

    @property
    def length(self) -> int:
        """The most tokens that a row has read, padding left out."""
        return max((0 if row is None else row.length for row in self._rows), default=0)

    @property
    def nbytes(self) -> int:
        """Bytes of the keys, values, positions and codes that are held."""
        return sum(row.nbytes for row in self._rows if row is not None)

    @property
    def rows(self) -> tuple[Kept | None, ...]:
        """What is kept of each row; None for a row without tokens."""
        return self._rows

    @torch.no_grad()
    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, *, padding: Bool[Tensor, "batch new"] | None = None
    ) -> Float[Tensor, "batch heads new value_dim"]:
        """Read more tokens.

        Arguments:
            query: (batch, heads, new, head_dim), not rotated.
            key, value: (batch, kv_heads, new, …), of the same tokens; keys not rotated.
            padding: True where a token is padding; its output is zero.

        Errors: ShapeError for tensors that do not fit each other or the tokens before; RefusalError where gradients are
        wanted. After an error the cache is as if nothing was read.
        """
        query, key, value = lowered(query, key, value)
        check_arguments(query, key, value, (None, None, None, padding), self.weights, self.scale)
        check_tensors(query, key, value)
        if query.shape[2] != key.shape[2]:
            raise ShapeError(f"as many queries as keys are read, got {query.shape[2]} and {key.shape[2]}")
        if any(x.requires_grad for x in (query, key, value)):
            raise RefusalError("a compressed cache has no gradients: use attend(), or detach the tensors")
        rows = self._rows or (None,) * len(key)
        self._check(key, value, rows)
        real = torch.ones(key.shape[0], key.shape[2], dtype=torch.bool) if padding is None else ~padding.cpu()
        if real.shape != (key.shape[0], key.shape[2]):
            raise ShapeError(f"padding must be {(key.shape[0], key.shape[2])}, got {tuple(real.shape)}")
        read = torch.tensor([0 if row is None else row.length for row in rows])
        order = read[:, None] + real.long().cumsum(1) - real.long()
        places = Places(order, order[..., None], torch.where(real, 0, PADDING))
        base_scale = query.shape[3] ** -0.5 if self.scale is None else self.scale
        inputs = Inputs(query, key, value, self.scheme, places, places, self.weights, base_scale)
        with without_autocast(query):
            out, self._rows = memory.attention(inputs, rows)
        return out

    @staticmethod
    def _check(key: Tensor, value: Tensor, rows: tuple[Kept | None, ...]) -> None:
        if len(rows) != len(key):
            raise ShapeError(f"the cache holds {len(rows)} rows, got {len(key)}")
        held = next((row for row in rows if row is not None), None)
        for name, new, kept in (("key", key, held and held.keys), ("value", value, held and held.values)):
            if kept is not None and (new.shape[1], new.shape[3]) != (kept.shape[0], kept.shape[2]):
                heads, width = kept.shape[0], kept.shape[2]
                raise ShapeError(f"{name} must go on with {heads} heads of {width} channels, got {tuple(new.shape)}")


@dataclass(frozen=True)
class CompressionReport:
    """What codes cost on a text.

    Arguments:
        tokens: that were read, in all rows.
        nbytes: held at the end; `exact_bytes` is what a cache of all keys and values would hold.
        error: root mean square of the difference from the same scheme without a memory, over that of its outputs, in
            the last tokens.
        lost: the share of far keys, and of far values, in squared numbers, that codes do not keep; 0 where none is far.
    """

    tokens: int
    nbytes: int
    exact_bytes: int
    error: float
    lost: tuple[float, float]


def compression_report(
    query: Tensor, key: Tensor, value: Tensor, scheme: Scheme | str, *, last: int = 256
) -> CompressionReport:
    """Read the queries, keys and values of a text with codes and without, and compare the last outputs.

    Arguments:
        last: tokens that are compared.

    Errors: as of `CompressedCache`.
    """
    cache = CompressedCache(scheme)
    found = cache.attend(query, key, value)[:, :, -last:]
    exact = attend(query[:, :, -last:], key, value, replace(cache.scheme, memory=None))
    difference, size = (float(x.square().mean().sqrt()) for x in (found - exact, exact))
    error = difference / size if size > 0 else float(difference > 0)
    lost = memory.lost([row.codes for row in cache.rows if row is not None])
    return CompressionReport(len(key) * key.shape[2], cache.nbytes, key.nbytes + value.nbytes, error, lost)
