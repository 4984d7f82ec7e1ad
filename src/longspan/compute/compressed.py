"""A cache of fixed size: the last tokens as they are, all older ones as codes with counts and mean values.

    near (distance < W)    score_j = scale · ⟨R(i) q, R(j) k_j⟩                     value v_j
    far  (a code s)        score_s = scale · ⟨R(W) q, c_s⟩ + ln n_s                  value the mean of the n_s values

One softmax runs over both. The score and the value of a code are those that its keys would have had together if all of
them were c_s, so that with a code for every far key this is `rerope(window=W)` itself, to rounding. Keys are compared
before rotation, and all far ones have the relative position W, because rotated keys drift with their position.

Codes are found by k-means as keys leave the window: the first S of them become codes, each later one joins the nearest
code, whose vector is the mean of its keys. A prompt is read W tokens at a time, and within such a chunk no key joins
a code: what a token sees depends on where chunks begin, by no more than the error that codes make.

Source: Lingle 2023, "Transformer-VQ: Linear-Time Transformers via Vector Quantization", arXiv:2309.16354, section 3
(codes, ln n_s, mean values); ReRoPE as the position of far keys and k-means on the keys of a trained model:
Su 2023, kexue.fm/archives/9844; ReRoPE: Su 2023, kexue.fm/archives/9708.
Differs from the paper: the near keys are exact, and the codebook is found while reading and not trained.
"""

from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.attend import attend
from longspan.compute.inputs import check_tensors
from longspan.compute.rotate import rotate
from longspan.errors import RefusalError, SchemeError, ShapeError
from longspan.notation import parse
from longspan.scheme import Scheme
from longspan.slots import UNBOUNDED


class CompressedCache:
    """One attention layer that reads on with as much memory and work for the millionth token as for the first far one.

    Rows of a batch have as many tokens each: padding and packed documents are not supported, nor are gradients.

    Arguments:
        window: W, tokens that are kept as they are, the present one included; the memory of keys and values.
        codes: S, of older tokens, for each row and key head: the knob between memory and error.
        rotation: a scheme of a rotation alone, as in "rope(theta=500000)".
        scale: the model's own scale instead of 1/√head_dim.

    Errors: SchemeError for more than a rotation, or a rotation that changes with length; ShapeError for a window or a
    number of codes below 1.

    >>> cache, token = CompressedCache(window=4, codes=2), torch.ones(1, 2, 1, 8)
    >>> for _ in range(10):
    ...     out = cache.attend(token, token, token)
    >>> out.shape, cache.length, cache.nbytes
    (torch.Size([1, 2, 1, 8]), 10, 656)
    """

    def __init__(self, *, window: int, codes: int, rotation: Scheme | str = "rope", scale: float | None = None) -> None:
        scheme = parse(rotation) if isinstance(rotation, str) else rotation
        if window < 1 or codes < 1:
            raise ShapeError(f"window and codes must be at least 1, got window={window} and codes={codes}")
        if scheme != Scheme(rotation=scheme.rotation):
            raise SchemeError(
                f"a compressed cache takes a rotation alone, such as 'rope' or 'yarn(factor=4)', got {rotation}"
            )
        if len(scheme.rotation.segments(UNBOUNDED)) > 1 or scheme.rotation.decays or scheme.rotation.num_axes > 1:
            raise SchemeError(
                f"{scheme.rotation.name} changes with length, decays or has several positions: name one that does not"
            )
        self.window, self.codes, self.scale, self.scheme = window, codes, scale, scheme
        self.length = 0
        self._near: tuple[Tensor, Tensor] | None = None
        self._far: _Codes | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the keys, values and codes that are held."""
        near = 0 if self._near is None else sum(x.nbytes for x in self._near)
        return near + (0 if self._far is None else self._far.nbytes)

    @property
    def counts(self) -> Float[Tensor, "batch kv_heads codes"] | None:
        """Tokens that each code stands for, together all that left the window; None before the first."""
        return None if self._far is None else self._far.count

    @torch.no_grad()
    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
    ) -> Float[Tensor, "batch heads new value_dim"]:
        """Read more tokens.

        Arguments:
            query: (batch, heads, new, head_dim), not rotated.
            key, value: (batch, kv_heads, new, …), of the same tokens; keys not rotated.

        Errors: ShapeError for tensors that do not fit each other or the tokens before; RefusalError where gradients are
        wanted.
        """
        check_tensors(query, key, value)
        if query.shape[2] != key.shape[2]:
            raise ShapeError(f"as many queries as keys are read, got {query.shape[2]} and {key.shape[2]}")
        if any(x.requires_grad for x in (query, key, value)):
            raise RefusalError("a compressed cache has no gradients: use attend(), or detach the tensors")
        if self._near is not None:
            for name, new, kept in zip(("key", "value"), (key, value), self._near, strict=True):
                if (new.shape[:2], new.shape[3]) != (kept.shape[:2], kept.shape[3]):
                    raise ShapeError(f"{name} must go on with {tuple(kept.shape)}, got {tuple(new.shape)}")
        parts = (x.split(self.window, 2) for x in (query, key, value))
        return torch.cat([self._read(*some) for some in zip(*parts, strict=True)], 2)

    def _read(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if self._near is not None:
            key, value = (torch.cat(pair, 2) for pair in zip(self._near, (key, value), strict=True))
        groups, new, keys = query.shape[1] // key.shape[1], query.shape[2], key.shape[2]
        scale = query.shape[3] ** -0.5 if self.scale is None else self.scale
        grouped = query.unflatten(1, (-1, groups)).flatten(0, 1)  # (batch · kv_heads, groups, new, d)
        far_query = self._rotated(grouped, torch.full((new,), self.window)).unflatten(0, (len(query), -1))
        scores = self._near_scores(query, key, groups, far_query)
        values = value
        if self._far is not None:
            more = torch.einsum("bkgtd,bksd->bkgts", far_query, self._far.keys.to(query.dtype)) * scale
            more = more + self._far.count.log().to(query.dtype)[:, :, None, None]
            scores, values = (
                torch.cat([scores * scale, more], -1),
                torch.cat([value, self._far.values.to(value.dtype)], 2),
            )
        else:
            scores = scores * scale
        weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
        out = torch.einsum("bkgts,bksd->bkgtd", weights, values)
        self._keep(key, value, keys - min(keys, self.window - 1))
        self.length += new
        return out.flatten(1, 2)

    def _near_scores(self, query: Tensor, key: Tensor, groups: int, far_query: Tensor) -> Tensor:
        """Scores of the keys that are kept, (batch, kv_heads, groups, new, keys); −inf for later ones."""
        new, keys = query.shape[2], key.shape[2]
        place = torch.arange(keys)
        rotated = self._rotated(query, place[keys - new :]).unflatten(1, (-1, groups))
        near = torch.einsum("bkgtd,bksd->bkgts", rotated, self._rotated(key, place))
        distance = (place[keys - new :, None] - place).to(query.device)
        if new > 1:  # the last queries of a chunk are a window or more from its first keys
            beyond = torch.einsum("bkgtd,bksd->bkgts", far_query, key)
            near = torch.where(distance < self.window, near, beyond)
        return near.masked_fill(distance < 0, -inf)

    def _rotated(self, x: Tensor, positions: Tensor) -> Tensor:
        return rotate(x, positions.to(x.device)[None, :, None], self.scheme.rotation.spectrum(x.shape[-1]))

    def _keep(self, key: Tensor, value: Tensor, leaving: int) -> None:
        """Keep what the next token sees nearer than the window; what leaves joins a code."""
        self._near = key[:, :, leaving:].clone(), value[:, :, leaving:].clone()
        if leaving:
            far = self._far or _Codes.none(key, value)
            self._far = far.joined(key[:, :, :leaving], value[:, :, :leaving], self.codes)


@dataclass(frozen=True, eq=False)
class _Codes:
    """Codes as sums, in float32 at least.

    Arguments:
        count: tokens of each code.
        key_sum, value_sum: of those tokens.
    """

    count: Float[Tensor, "batch kv_heads codes"]
    key_sum: Float[Tensor, "batch kv_heads codes head_dim"]
    value_sum: Float[Tensor, "batch kv_heads codes value_dim"]

    @classmethod
    def none(cls, key: Tensor, value: Tensor) -> "_Codes":
        exact = torch.promote_types(key.dtype, torch.float32)
        empty = key[:, :, :0].to(exact)
        return cls(empty[..., 0], empty, value[:, :, :0].to(exact))

    @property
    def keys(self) -> Tensor:
        return self.key_sum / self.count[..., None]

    @property
    def values(self) -> Tensor:
        return self.value_sum / self.count[..., None]

    @property
    def nbytes(self) -> int:
        return self.count.nbytes + self.key_sum.nbytes + self.value_sum.nbytes

    def joined(self, key: Tensor, value: Tensor, most: int) -> "_Codes":
        """Take up tokens, as new codes while there are fewer than `most`."""
        key, value = key.to(self.key_sum.dtype), value.to(self.value_sum.dtype)
        free = most - self.count.shape[2]
        codes = self
        if free > 0:
            count = torch.ones_like(key[:, :, :free, 0])
            sums = (self.count, count), (self.key_sum, key[:, :, :free]), (self.value_sum, value[:, :, :free])
            codes = _Codes(*(torch.cat(pair, 2) for pair in sums))
            key, value = key[:, :, free:], value[:, :, free:]
        if not key.shape[2]:
            return codes
        nearest = (codes.keys.square().sum(-1)[:, :, None] - 2 * key @ codes.keys.mT).argmin(-1)
        return _Codes(
            codes.count.scatter_add(2, nearest, torch.ones_like(key[..., 0])),
            codes.key_sum.scatter_add(2, nearest[..., None].expand_as(key), key),
            codes.value_sum.scatter_add(2, nearest[..., None].expand_as(value), value),
        )


@dataclass(frozen=True)
class CompressionReport:
    """What codes cost on a text.

    Arguments:
        tokens: that were read.
        nbytes: held at the end; `exact_bytes` is what a cache of all keys and values would hold.
        error: root mean square of the difference from `rerope` with the same window, over that of its outputs, in the
            last tokens.
    """

    tokens: int
    nbytes: int
    exact_bytes: int
    error: float


def compression_report(
    query: Tensor, key: Tensor, value: Tensor, *, window: int, codes: int, rotation: str = "rope", last: int = 256
) -> CompressionReport:
    """Read the queries, keys and values of a text with codes and without, and compare the last outputs.

    Arguments:
        last: tokens that are compared.

    Errors: as of `CompressedCache`.
    """
    cache = CompressedCache(window=window, codes=codes, rotation=rotation)
    found = cache.attend(query, key, value)[:, :, -last:]
    exact = attend(query[:, :, -last:], key, value, f"{rotation} + rerope(window={window})")
    error = float((found - exact).square().mean().sqrt() / exact.square().mean().sqrt())
    return CompressionReport(key.shape[2], cache.nbytes, key.nbytes + value.nbytes, error)
