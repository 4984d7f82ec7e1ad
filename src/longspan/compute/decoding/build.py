"""Build a decoding step: everything that can be computed before its tensors come."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import inf

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from longspan.compute.decoding.pieces import Piece, StepPieces, step_pieces
from longspan.compute.decoding.prepared import DecodingStep, Numbers, Parts, Read
from longspan.compute.tiling.lowering import Span, count_visible
from longspan.memo import BIAS_LINES, numbers_by_name
from longspan.position_map import PositionMap
from longspan.scheme import Scheme
from longspan.slots import ScoreBias, Weights

SHORTEST_LINE = 8
"""Distances of a line of biases, at least."""


@dataclass(frozen=True)
class StepBuilder:
    """What decides a decoding step.

    Arguments:
        scheme, base_scale: of the call; queries and keys come normalized.
        frames: mapped positions that queries and keys are already rotated to; None for unrotated ones.
        span: positions of the queries and of the keys.
        batch, heads, kv_heads, head_dim, dtype, device: of the tensors.
        learned: whether some part of the scheme has learned weights.
        threads: that may read keys at the same time.
    """

    scheme: Scheme
    frames: tuple[PositionMap | None, PositionMap | None]
    span: Span
    base_scale: float
    batch: int
    heads: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device
    learned: bool
    threads: int

    def build(self) -> DecodingStep | None:
        """The step; None where its rows have different spectra or see nothing."""
        found = step_pieces(self.scheme, self.frames, self.span, self.head_dim, self.dtype)
        if found is None:
            return None
        reads = tuple(self._read(piece) for piece in found.pieces)
        masks = None if self.scheme.bias else tuple(self._masks(found, {}))
        find_numbers = partial(self._numbers, found, masks)
        return DecodingStep(
            rows=self.span.queries,
            packing=self._packing,
            reads=reads,
            rotation=self._matrix(found),
            numbers=None if self.learned else find_numbers({}),
            find_numbers=find_numbers,
            alone=self._alone,
        )

    @cached_property
    def _packing(self) -> tuple[int, int]:
        """Heads and rows of a call: heads that share a key head are rows of one head, unless each row has a bias."""
        rows = self.span.queries
        packs = not self.scheme.bias or rows == 1
        return (self.kv_heads, self.heads // self.kv_heads * rows) if packs else (self.heads, rows)

    @property
    def _kind(self) -> tuple[int, torch.dtype, torch.device]:
        return self.head_dim, self.dtype, self.device

    def _matrix(self, found: StepPieces) -> Float[Tensor, "... before after"] | None:
        if found.queries is None:
            return None
        matrices = found.queries.matrices(self.span.queries, *self._kind)
        return matrices[0] if self.span.queries == 1 else matrices

    def _read(self, piece: Piece) -> Read:
        size = piece.end - piece.first
        rotation = piece.rotation and piece.rotation.remembered(size, *self._kind)
        parts = Parts.of(size, self._packing[0], self.threads if self.batch == 1 else 1)
        hidden = parts.hidden(self._mask_dtype, self.device)
        return Read(piece.first, size, rotation, parts, piece.seen is not None, self._blind(piece, parts), hidden)

    def _blind(self, piece: Piece, parts: Parts) -> Bool[Tensor, "parts 1 rows"] | None:
        """Which packed rows see no key of a part, whatever they see of the others."""
        if piece.seen is None:
            return None
        seen = torch.tensor(piece.seen) - piece.first
        first, end = torch.tensor([(keys.start, keys.stop) for keys in parts.shown()])[:, None].unbind(-1)
        blind = torch.maximum(seen[:, 0], first) >= torch.minimum(seen[:, 1], end)
        if not bool(blind.any()):
            return None
        return blind.repeat(1, self._packing[1] // self.span.queries)[:, None].to(self.device)

    @property
    def _mask_dtype(self) -> torch.dtype:
        return torch.promote_types(self.dtype, torch.float32)

    def _numbers(self, found: StepPieces, masks: tuple[Tensor | None, ...] | None, weights: Weights) -> Numbers:
        """The numbers for these learned weights; masks are given where there is no bias."""
        scheme = self.scheme
        visible = count_visible(scheme, self.span, self.device)
        factor, scale = scheme.split_scale(visible, self.base_scale, weights)
        if isinstance(factor, Tensor):
            factor = factor[..., None].to(self.dtype)
        elif factor == 1.0:
            factor = None
        logit = scheme.normalizer.extra_logit(self.heads, scheme.weights_of(scheme.normalizer, weights))
        logit = None if logit is None else logit.to(self.device)
        masks = tuple(self._masks(found, weights)) if masks is None else masks
        return Numbers(factor, scale, masks, logit)

    def _masks(self, found: StepPieces, weights: Weights) -> list[Tensor | None]:
        """What is added to the scores of packed rows, read by read; None for nothing."""
        masks: list[Tensor | None] = []
        (packed, rows), by_head = self._packing, self.scheme.bias is not None
        for piece in found.pieces:
            added = self._added(piece, weights)
            if added is not None:
                added = added.reshape(packed, rows, -1) if by_head else added.repeat(1, rows // added.shape[1], 1)
            masks.append(None if added is None else added[None])
        return masks

    def _added(self, piece: Piece, weights: Weights) -> Float[Tensor, "_ rows keys"] | None:
        """The bias, and −inf where a row does not see a key; None for nothing."""
        scheme, span, size = self.scheme, self.span, piece.end - piece.first
        if isinstance(scheme.bias, ScoreBias):
            newest = span.first_query + span.queries - 1 - span.first_key
            past, future = line_length(newest), line_length(span.queries + span.keys - newest)
            line = self._line(scheme.bias, scheme.weights_of(scheme.bias, weights), past, future)
            rows = self.heads, span.queries, size
            added = line.as_strided(rows, (line.shape[1], 1, 1), past - newest + piece.first)
        elif piece.seen is None:
            return None
        else:
            added = torch.zeros(1, span.queries, size, dtype=self._mask_dtype, device=self.device)
        if piece.seen is not None:
            key = torch.arange(piece.first, piece.end)
            unseen = torch.stack([(key < a) | (key >= b) for a, b in piece.seen])
            added = added.masked_fill(unseen.to(self.device), -inf)
        return added

    def _line(self, bias: ScoreBias, weights: Weights, past: int, future: int) -> Float[Tensor, "heads distances"]:
        """The bias for i − j = past, past − 1 … −future, remembered until its learned weights change."""
        heads, dtype, device = self.heads, self._mask_dtype, self.device

        def make() -> tuple[Tensor]:
            relative = torch.arange(past, -future - 1, -1, device=device)
            head = torch.arange(heads, device=device)[:, None]
            return (bias(relative, head, heads, weights).detach().to(dtype).expand(heads, -1).contiguous(),)

        return BIAS_LINES.get((bias, heads, past, future, dtype, device, numbers_by_name(weights)), make)[0]

    def _alone(self, row: int) -> DecodingStep:
        """The step for one of several rows; it exists, because every row sees a key and all have one spectrum."""
        span = replace(self.span, queries=1, first_query=self.span.first_query + row)
        step = replace(self, span=span).build()
        assert step is not None
        return step


def line_length(distance: int) -> int:
    """A power of two above a distance, so that a line lasts for as many steps as it took to reach it."""
    return 1 << max(distance, SHORTEST_LINE).bit_length()
