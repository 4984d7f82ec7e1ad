"""One or few queries against a long cache: a step costs the reading of the keys it sees, and little else.

What is left to do is found once for a step and serves all layers. Keys that all still have to turn by the same angle
stay as they lie, and the query turns back instead: a cache kept in the frame of a branch is read, never copied. What
turns are the keys of a window, by angles remembered from the step before. The heads that share a key head become rows
of one head, and the keys are cut into as many parts as keep every thread busy. Rows of a batch that stand differently
take a step each.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isfinite, nan

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.decoding.parts import Parts
from longspan.compute.decoding.step import FEW, Piece, Step, Turning, step
from longspan.compute.inputs import Inputs, TensorSpec
from longspan.compute.kernels.cpu import VECTOR, flash
from longspan.compute.tiling.lowering import Span, count_visible
from longspan.compute.tiling.spans import Patch, patches
from longspan.memo import BIAS_LINES, numbers_of, remember
from longspan.position_map import PositionMap
from longspan.scheme import Scheme
from longspan.slots import ScoreBias, Weights


def decoding(x: Inputs) -> "Decoding | Patchwork | None":
    """What is done with these tensors and with all that look like them.

    None where the inputs are more than the softmax of few queries in one run with their keys, in each row of the batch.
    """
    if x.query.shape[2] > FEW or _wants_gradients(x) or not _one_softmax(x):
        return None
    found = patches(x.queries, x.keys, len(x.query), regular=True)
    if isinstance(found, str):
        return None
    steps = [_known(_decoding(x, patch)) for patch in found]
    if any(step.todo is None for step in steps):
        return None
    whole = len(steps) == 1 and steps[0].queries == TensorSpec.of(x.query) and steps[0].keys == TensorSpec.of(x.key)
    return steps[0] if whole else Patchwork(tuple(zip(found, steps, strict=True)))


def _decoding(x: Inputs, patch: Patch) -> "Decoding":
    frames, span = (x.query_frame, x.key_frame), patch.span
    query, key = TensorSpec.of(x.query[patch.rows, :, : span.queries]), TensorSpec.of(x.key[patch.rows, :, : span.keys])
    return Decoding(x.scheme, frames, span, x.base_scale, query, key, torch.get_num_threads())


def _wants_gradients(x: Inputs) -> bool:
    return any(TensorSpec.of(tensor).differentiated for tensor in (x.query, x.key, x.value, *x.weights.values()))


def _one_softmax(x: Inputs) -> bool:
    """Whether the scheme is one softmax of scores of the keys as they came, along one line."""
    scheme, same_width = x.scheme, x.value.shape[3] == x.query.shape[3]
    plain = scheme.bias is None or isinstance(scheme.bias, ScoreBias)
    one_line = same_width and scheme.rotation.num_axes == 1
    return plain and one_line and scheme.normalizer.order == 1 and not scheme.qk_norm and not scheme.reweight


@dataclass(frozen=True)
class Patchwork:
    """Steps of rows that stand differently: behind padding, before the empty places of a static cache, in documents.

    Arguments:
        parts: where each step's rows and keys lie; what lies nowhere gives zeros.
    """

    parts: tuple[tuple[Patch, "Decoding"], ...]

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, weights: Weights
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """The output."""
        out = torch.zeros_like(query)
        for patch, part in self.parts:
            rows = patch.rows
            some = (patch.queries.of(query[rows]), patch.keys.of(key[rows]), patch.keys.of(value[rows]))
            out[rows, :, patch.queries.index] = part(*some, weights)
        return out


@dataclass(frozen=True, eq=False)
class Read:
    """How the kernel reads the keys of a piece.

    Arguments:
        turn: what the keys go through first; None where they stand.
        mask: what is added to the scores; None for nothing, and for a bias, which is learned.
    """

    piece: Piece
    turn: Turning | None
    parts: Parts
    mask: Float[Tensor, "_ _ _ keys"] | None


@dataclass(frozen=True)
class Decoding:
    """One step, for the tensors of every layer that look alike: what it has to do is found once.

    Arguments:
        scheme, base_scale: of `Inputs`.
        frames: of queries and of keys.
        span: where the queries and the keys of the cache stand.
        queries, keys: what they look like.
        threads: that may read keys at the same time.
    """

    scheme: Scheme
    frames: tuple[PositionMap | None, PositionMap | None]
    span: Span
    base_scale: float
    queries: TensorSpec
    keys: TensorSpec
    threads: int

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, weights: Weights
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """The output.

        A row is NaN exactly where it sees a NaN. Keys that only some rows see are masked by adding −inf, which a NaN or
        an inf survives: where several rows show one, each is done by itself.
        """
        out, rows = self._attended(query, key, value, weights), self.span.queries
        if rows == 1 or isfinite(out.sum(dtype=torch.promote_types(out.dtype, torch.float32)).item()):
            return out
        alone = [self._row(t)(query[:, :, t : t + 1], key, value, weights) for t in range(rows)]
        return torch.cat(alone, 2)

    def _attended(self, query: Tensor, key: Tensor, value: Tensor, weights: Weights) -> Tensor:
        (batch, heads, rows, width), reads = query.shape, self._reads
        factor, scale = self._split_scale(weights) if weights else self._scale
        query = query if factor is None else query * factor
        query = query.flip(2) if rows > 1 else query
        turned, shape = self._turned(query), (batch, *self._packing, width)
        if turned.shape[-1] == width:
            packed = [turned.reshape(shape)] * len(reads)
        else:
            packed = [turned.narrow(-1, i * width, width).reshape(shape) for i in range(len(reads))]
        found = [self._attend(read, some, key, value, weights, scale) for read, some in zip(reads, packed, strict=True)]
        outs, sums = map(torch.cat, zip(*found, strict=True)) if len(found) > 1 else found[0]
        out = self._merged(outs.reshape(-1, batch, heads, rows, width), sums.reshape(-1, batch, heads, rows), weights)
        return out.flip(2) if rows > 1 else out

    def _turned(self, query: Float[Tensor, "batch heads rows d"]) -> Tensor:
        """The rows at each of the places that the keys want them at, one behind the other."""
        (batch, heads, rows, width), turn = query.shape, self._turn
        if turn is None:
            return query
        if rows == 1:  # one product less to set up than a batch of one takes
            return torch.mm(query.reshape(batch * heads, width), turn)
        return torch.bmm(query.reshape(batch * heads, rows, width).transpose(0, 1), turn).transpose(0, 1)

    def _attend(
        self, read: Read, query: Float[Tensor, "batch packed rows d"], key: Tensor, value: Tensor,
        weights: Weights, scale: float,
    ) -> tuple[Float[Tensor, "parts packed rows d"], Float[Tensor, "parts packed rows"]]:  # fmt: skip
        """Output and log-sum-exp over each part of the keys; parts take the batch dimension."""
        piece, parts = read.piece, read.parts
        first, value = piece.first, parts.side_by_side(value, piece.first)
        if read.turn is not None:
            first, key = 0, read.turn(key.narrow(2, first, piece.end - first))
        key = parts.side_by_side(key, first)
        mask = self._mask(piece, parts, weights) if self.scheme.bias else read.mask
        query = query.expand(parts.number, -1, -1, -1) if parts.number > 1 else query
        out, lse = flash(query, key, value, scale, False, mask)
        if (parts.size < VECTOR or piece.seen) and not bool(lse.all()):
            out = out.masked_fill(_sums(query, key).isnan()[..., None], nan)
        for row in piece.blind:  # the kernel's word on them means nothing
            out[:, :, row :: self.span.queries], lse[:, :, row :: self.span.queries] = 0.0, -inf
        return out, lse

    def _merged(self, out: Tensor, lse: Tensor, weights: Weights) -> Float[Tensor, "batch heads rows d"]:
        """The parts weighted by their shares of each row's sum."""
        logit = self._extra(weights) if weights else self._logit
        if logit is not None:
            lse = torch.cat([lse, logit[:, None].to(lse.dtype).expand_as(lse[:1])])
        elif out.shape[0] == 1:
            return out[0]
        shares = lse.softmax(0) if logit is None else lse.softmax(0)[:-1]
        return (shares.unsqueeze(-1) * out).sum(0).to(self.queries.dtype)

    # --- what all layers share ----------------------------------------------------------------------------------------

    @cached_property
    def todo(self) -> Step | None:
        """What the rows see and how far all still has to turn; None where they are no step."""
        return step(self.scheme, self.frames, self.span, self.queries.shape[3], self.queries.dtype)

    @property
    def _step(self) -> Step:
        assert self.todo is not None
        return self.todo

    def _row(self, row: int) -> "Decoding":
        """A row alone: what is a step together is one alone."""
        (batch, heads, _, width), first = self.queries.shape, self.span.first_query + row
        look = self.queries._replace(shape=torch.Size((batch, heads, 1, width)))
        return _known(replace(self, span=replace(self.span, queries=1, first_query=first), queries=look))

    @cached_property
    def _packing(self) -> tuple[int, int]:
        """Heads and rows of a call: those of one key head are its rows, where no bias of several rows parts them."""
        (heads, rows), kv_heads = self.queries.shape[1:3], self.keys.shape[1]
        return (heads, rows) if self.scheme.bias and rows > 1 else (kv_heads, heads // kv_heads * rows)

    @property
    def _kind(self) -> tuple[int, torch.dtype, torch.device]:
        """Of all that turns."""
        return self.queries.shape[3], self.queries.dtype, self.queries.device

    @cached_property
    def _turn(self) -> Float[Tensor, "... before after"] | None:
        turn, rows = self._step.queries, self.span.queries
        product = turn and turn.product(rows, *self._kind)
        return product[0] if product is not None and rows == 1 else product

    @cached_property
    def _scale(self) -> tuple[Tensor | float | None, float]:
        return self._split_scale({})

    def _split_scale(self, weights: Weights) -> tuple[Tensor | float | None, float]:
        """The factor of each query, in its dtype, None where it is 1; and the kernel's number."""
        visible = count_visible(self.scheme, self.span, self.queries.device)
        factor, number = self.scheme.split_scale(visible, self.base_scale, weights)
        if isinstance(factor, Tensor):
            return factor[..., None].to(self.queries.dtype), number
        return None if factor == 1.0 else factor, number

    @cached_property
    def _logit(self) -> Float[Tensor, " heads"] | None:
        return self._extra({})

    def _extra(self, weights: Weights) -> Float[Tensor, " heads"] | None:
        normalizer = self.scheme.normalizer
        return normalizer.extra_logit(self.queries.shape[1], self.scheme.weights_of(normalizer, weights))

    @cached_property
    def _reads(self) -> list[Read]:
        reads, threads = [], self.threads if self.queries.shape[0] == 1 else 1
        for piece in self._step.pieces:
            size = piece.end - piece.first
            turn = piece.keys and piece.keys.ready(size, *self._kind)
            parts = Parts.of(size, self._packing[0], threads)
            mask = None if self.scheme.bias else self._mask(piece, parts, {})
            reads.append(Read(piece, turn, parts, mask))
        return reads

    def _mask(self, piece: Piece, parts: Parts, weights: Weights) -> Float[Tensor, "_ _ _ keys"] | None:
        """What is added to the scores of packed rows, part by part; None for nothing."""
        dtype, device = torch.promote_types(self.queries.dtype, torch.float32), self.queries.device
        hidden, added = parts.hidden(dtype, device), self._added(piece, weights, dtype, device)
        if added is None:
            return hidden
        (packed, rows), size = self._packing, piece.end - piece.first
        added = added.reshape(packed, rows, size) if self.scheme.bias else added.repeat(1, rows // added.shape[1], 1)
        added = parts.side_by_side(added[None], 0, axis=3)
        return added if hidden is None else added + hidden

    def _added(
        self, piece: Piece, weights: Weights, dtype: torch.dtype, device: torch.device
    ) -> Float[Tensor, "_ rows keys"] | None:
        """The bias, and −inf where a row does not see a key; None for nothing."""
        scheme, span, size = self.scheme, self.span, piece.end - piece.first
        if isinstance(scheme.bias, ScoreBias):
            newest = span.first_query + span.queries - 1 - span.first_key
            past, future = _reach(newest), _reach(span.queries + span.keys - newest)
            learned, heads = scheme.weights_of(scheme.bias, weights), self.queries.shape[1]
            line = _line(scheme.bias, learned, heads, past, future, dtype, device)
            added = line.as_strided((heads, span.queries, size), (line.shape[1], 1, 1), past - newest + piece.first)
        elif piece.seen is None:
            return None
        else:
            added = torch.zeros(1, span.queries, size, dtype=dtype, device=device)
        if piece.seen is not None:
            key = torch.arange(piece.first, piece.end)
            unseen = torch.stack([(key < a) | (key >= b) for a, b in piece.seen])
            added = added.masked_fill(unseen.to(device), -inf)
        return added


def _sums(query: Float[Tensor, "batch packed rows d"], key: Float[Tensor, "batch kv_heads keys d"]) -> Tensor:
    """The scores of each row, summed: NaN where one of them is."""
    groups = query.shape[1] // key.shape[1]
    return (query @ (key.repeat_interleave(groups, 1) if groups > 1 else key).mT).sum(-1)


@remember(16)
def _known(decoding: Decoding) -> Decoding:
    """The same one as before, with all that it found."""
    return decoding


def _reach(distance: int) -> int:
    """A power of two above a distance, so that a line lasts for as many steps as it took to get there."""
    return 1 << max(distance, FEW).bit_length()


def _line(
    bias: ScoreBias, weights: Weights, heads: int, past: int, future: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "heads distances"]:
    """The bias for i − j = past, past − 1 … −future, kept as long as its learned numbers stay the same."""

    def make() -> tuple[Tensor]:
        relative = torch.arange(past, -future - 1, -1, device=device)
        head = torch.arange(heads, device=device)[:, None]
        return (bias(relative, head, heads, weights).detach().to(dtype).expand(heads, -1).contiguous(),)

    return BIAS_LINES.get((bias, heads, past, future, dtype, device, numbers_of(*weights.values())), make)[0]
