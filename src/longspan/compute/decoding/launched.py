"""A decoding step as one launch of the Triton kernel, which reads the keys where the cache holds them.

As in the step that PyTorch computes (`prepared.py`), queries rotate back to the frame of the keys, piece by piece. Keys
that still rotate, such as those of a window, do so inside the kernel when they are loaded: a step writes nothing that
is as long as the cache or the window.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.decoding.build import StepBuilder, line_length
from longspan.compute.decoding.pieces import Piece, StepPieces, step_pieces
from longspan.compute.decoding.prepared import side_by_side
from longspan.compute.decoding.residual import ResidualRotation
from longspan.compute.kernels.triton.sizes import STEP, WIDEST_FLOAT32, chosen
from longspan.compute.rotate import pair_tables, partners
from longspan.compute.tiling.lowering import count_visible
from longspan.memo import ANGLES, BIAS_LINES, numbers_by_name
from longspan.slots import ScoreBias, Weights

if TYPE_CHECKING:
    from longspan.compute.kernels.triton.launch import KeyAngles, Schedule, Work


class Operands(NamedTuple):
    """What a launch receives beside queries, keys and values; as of `longspan.compute.kernels.triton.launch.attend`."""

    work: "Work"
    bias: Float[Tensor, "heads distances"] | None
    logit: Float[Tensor, " heads"] | None


@dataclass(frozen=True, eq=False)
class LaunchedStep:
    """Few queries over the keys of a cache, for rows of the batch with the same positions and tensors of equal specs.

    Arguments:
        rotation: residual rotation of the queries, as of `DecodingStep`, first query first.
        schedule: how programs share the keys.
        operands: None where learned weights have a say.
        find_operands: finds the operands from the learned weights.
    """

    rotation: Float[Tensor, "... before after"] | None
    schedule: "Schedule"
    operands: Operands | None
    find_operands: Callable[[Weights], Operands]

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, weights: Weights
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """The output. A row is NaN exactly where it sees a NaN."""
        from longspan.compute.kernels.triton.launch import attend

        work, bias, logit = self.find_operands(weights) if self.operands is None else self.operands
        batch, heads, rows, width = query.shape
        copies = side_by_side(query, self.rotation).reshape(batch, heads, rows, -1, width).permute(3, 0, 1, 2, 4)
        return attend(work, self.schedule, copies, key[None], value, bias, logit)[0]


def launched(of: StepBuilder, value_dim: int) -> LaunchedStep | None:
    """The step; None where its rows have different spectra or see nothing, or where registers do not hold it."""
    from longspan.compute.kernels.triton.launch import AS_IT_LIES, Schedule, Work, kind, maker, width

    channels = max(of.head_dim, value_dim)
    changed = of.scheme.cap or isinstance(of.scheme.bias, ScoreBias)
    if changed and of.dtype == torch.float32 and channels > WIDEST_FLOAT32:
        return None
    found = step_pieces(of.scheme, of.frames, of.span, of.head_dim, of.dtype)
    if found is None:
        return None
    rows = [piece.seen or ((piece.first, piece.end),) * of.span.queries for piece in found.pieces]
    # Rows of pieces come last query first.
    seen = torch.tensor([[(low, max(low, high)) for low, high in reversed(row)] for row in rows], dtype=torch.int32)
    shared = found.queries is None or len(found.queries.positions) == 1
    numbers = [(0 if shared else number, 0) for number in range(len(found.pieces))]
    base = Work(
        seen=seen[:, None].to(of.device),
        copies=torch.tensor(numbers, dtype=torch.int32, device=of.device),
        scale=1.0,
        cap=of.scheme.cap and of.scheme.cap.tanh_limit,
        diagonal=_diagonal(of),
        angles=_angles(of, found.pieces, AS_IT_LIES, width(of.head_dim)),
    )
    sizes = chosen(STEP, maker(), kind(base, of.dtype), width(channels))
    find_operands = partial(_operands, of, base)
    return LaunchedStep(
        rotation=_matrix(of, found),
        schedule=Schedule.of(seen[:, None], sizes, of.batch, of.heads, of.kv_heads, of.span.keys, of.device),
        operands=None if of.learned else find_operands({}),
        find_operands=find_operands,
    )


def _matrix(of: StepBuilder, found: StepPieces) -> Tensor | None:
    if found.queries is None:
        return None
    matrices = found.queries.matrices(of.span.queries, of.head_dim, of.dtype, of.device)
    return matrices[0] if of.span.queries == 1 else matrices.flip(0)


def _operands(of: StepBuilder, base: "Work", weights: Weights) -> Operands:
    """The operands for these learned weights."""
    scheme = of.scheme
    factor, scale = scheme.split_scale(count_visible(scheme, of.span, of.device), of.base_scale, weights)
    logit = scheme.normalizer.extra_logit(of.heads, scheme.weights_of(scheme.normalizer, weights))
    many = isinstance(factor, Tensor)
    work = base._replace(scale=scale if many else scale * factor, factor=(factor * scale).float() if many else None)
    return Operands(work, _table(of, weights), None if logit is None else logit.to(of.device, torch.float32))


def _lengths(of: StepBuilder) -> tuple[int, int]:
    """Distances of the table of biases to keys before and after a query, which last for as many steps."""
    newest = of.span.first_query + of.span.queries - 1 - of.span.first_key
    return line_length(newest), line_length(of.span.queries + of.span.keys - newest)


def _diagonal(of: StepBuilder) -> Tensor | None:
    """Column of the table of biases for each query and key 0."""
    if not isinstance(of.scheme.bias, ScoreBias):
        return None
    first = of.span.first_query - of.span.first_key + _lengths(of)[1]
    return torch.arange(first, first + of.span.queries, dtype=torch.int32, device=of.device)[None]


def _table(of: StepBuilder, weights: Weights) -> Float[Tensor, "heads distances"] | None:
    """The bias for i − j = −future … past, remembered until its learned weights change."""
    bias, heads, device = of.scheme.bias, of.heads, of.device
    if not isinstance(bias, ScoreBias):
        return None
    learned, (past, future) = of.scheme.weights_of(bias, weights), _lengths(of)

    def make() -> tuple[Tensor]:
        relative = torch.arange(-future, past + 1, device=device)
        head = torch.arange(heads, device=device)[:, None]
        return (bias(relative, head, heads, learned).detach().float().expand(heads, -1).contiguous(),)

    return BIAS_LINES.get(("table", bias, heads, past, future, device, numbers_by_name(learned)), make)[0]


def _angles(of: StepBuilder, pieces: tuple[Piece, ...], as_it_lies: int, channels: int) -> "KeyAngles | None":
    """The residual rotations of all pieces, one below the other; remembered, because they change with few steps."""
    from longspan.compute.kernels.triton.launch import KeyAngles

    rotations: dict[object, ResidualRotation] = {}
    for piece in pieces:
        if piece.rotation is not None:
            rotations.setdefault(piece.rotation.value, piece.rotation)
    if not rotations:
        return None
    layout = next(iter(rotations.values())).spectrum.layout

    def make() -> tuple[Tensor, Tensor]:
        tables = []
        for rotation in rotations.values():
            tokens = rotation.positions.shape[1]
            ready = rotation.ready(tokens, of.head_dim, torch.float32, of.device)
            # Equal positions have one row of angles.
            tables.append(pair_tables(ready.angles, layout).expand(tokens, -1, -1))
        pairs = of.scheme.rotation.spectrum(of.head_dim).rotary_dim // 2
        return torch.cat(tables), partners(pairs, layout, channels).to(of.device)

    tables, partner = ANGLES.get(("side by side", *rotations, layout, of.head_dim, of.device), make)
    starts, start = {}, 0
    for value, rotation in rotations.items():
        starts[value], start = start, start + rotation.positions.shape[1]
    first = [as_it_lies if p.rotation is None else starts[p.rotation.value] - p.first for p in pieces]
    return KeyAngles(tables, partner, torch.tensor(first, dtype=torch.int32, device=of.device))
