"""`mix`: one call for every mixer; padding, packed documents and saved states are handled here, once.

A batch becomes runs: the tokens of one document of one row, without padding. Runs of like length are read together,
padded on the right where no token can see it, so that a mixer never meets padding or a border of documents. Their
outputs go back to where their tokens were; the output of padding is zero.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from longspan.errors import RefusalError, SchemeError, ShapeError, nearest, shown
from longspan.slots import Mixer, State, Weights

MODES = ("auto", "recurrent", "chunk", "parallel")


@dataclass(frozen=True, eq=False)
class Group:
    """Rows of a batch whose states have equal shapes.

    Arguments:
        rows: their numbers, rising.
        tensors: by name, one row each.
    """

    rows: tuple[int, ...]
    tensors: State


@dataclass(frozen=True, eq=False)
class SavedState:
    """What a mixer knows of the tokens that each row of a batch has read.

    Rows whose states grow, and that have read different numbers of tokens, are in different groups.

    Arguments:
        mixer: whose state it is.
        groups: together, all rows of the batch.
    """

    mixer: Mixer
    groups: tuple[Group, ...]

    @property
    def batch(self) -> int:
        """The number of rows."""
        return sum(len(group.rows) for group in self.groups)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return sum(value.nbytes for group in self.groups for value in group.tensors.values())

    def select(self, rows: Int[Tensor, " selected"]) -> "SavedState":
        """The state of some rows in another order, as beam search asks for."""
        found = [(new, self._row(old)) for new, old in enumerate(rows.tolist())]
        return SavedState(self.mixer, _merged(Group((new,), tensors) for new, tensors in found))

    def _row(self, row: int) -> State:
        group = next(group for group in self.groups if row in group.rows)
        place = group.rows.index(row)
        return {name: value[place : place + 1] for name, value in group.tensors.items()}


def initial_state(mixer: Mixer, batch: int, weights: Weights) -> SavedState:
    """Return the state of rows that have read nothing."""
    return SavedState(mixer, (Group(tuple(range(batch)), mixer.initial_state(batch, weights)),))


def mix(
    x: Tensor,
    mixer: Mixer,
    weights: Weights,
    *,
    initial_state: SavedState | None = None,
    documents: Tensor | None = None,
    padding: Tensor | None = None,
    mode: str = "auto",
    chunk: int = 64,
    causal: bool = True,
    output_final_state: bool = False,
) -> tuple[Float[Tensor, "batch tokens hidden"], SavedState | None]:
    """Return a mixer's output for each token, and its state after the last one where that is asked for.

    Arguments:
        x: (batch, tokens, hidden), the layer's input.
        weights: learned numbers, named as in `Mixer.initial_weights`.
        initial_state: what earlier tokens left; it goes on with the first document of each row.
        documents: (batch, tokens), the number of each token's document; tokens of different documents are apart.
        padding: (batch, tokens), True where a token is padding; its output is zero.
        mode: "recurrent" (token by token, the definition), "chunk", "parallel" (whole documents from their start), or
            "auto": recurrent for one token, otherwise chunk where the mixer has it, else parallel, else recurrent.
        chunk: tokens that are computed together. No output depends on it.
        causal: False for the bidirectional form, which some mixers have.
        output_final_state: whether the state after each row's last token is returned.

    Errors: ShapeError for tensors that do not fit, a chunk below 1 and the state of another shape; RefusalError for the
    state of another mixer, for a form that the mixer lacks, and for a mode that cannot do what is asked.
    """
    _check(x, mixer, weights, initial_state, mode, chunk)
    if not causal and (initial_state is not None or output_final_state or mode not in ("auto", "parallel")):
        raise RefusalError("causal=False reads whole documents at once: leave out mode, initial_state and final state")
    whole = initial_state is not None or output_final_state
    if mode == "parallel" and whole:
        raise RefusalError("mode='parallel' starts at the first token and keeps no state: use mode='chunk'")
    reading = _Reading(mixer, weights, mode, chunk, causal, output_final_state)
    if documents is None and padding is None and (initial_state is None or len(initial_state.groups) == 1):
        y, tensors = reading.read(x, None if initial_state is None else initial_state.groups[0].tensors)
        rows = tuple(range(len(x)))
        return y, SavedState(mixer, (Group(rows, tensors),)) if tensors is not None else None
    return _runs(x, reading, initial_state, documents, padding)


@dataclass(frozen=True)
class _Reading:
    """How a call reads runs.

    Arguments: as for `mix`.
    """

    mixer: Mixer
    weights: Weights
    mode: str
    chunk: int
    causal: bool
    keeps: bool

    def read(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        """Read stretches of equal length of one document each; their last state where it is asked for."""
        mixer, weights = self.mixer, self.weights
        if not x.shape[1]:
            return x, mixer.initial_state(len(x), weights) if self.keeps and state is None else state
        if not self.causal:
            return mixer.both_directions(x, weights), None
        mode = self._mode(x.shape[1], state)
        if mode == "parallel":
            return mixer.parallel(x, weights), None
        state = mixer.initial_state(len(x), weights) if state is None else state
        if mode == "chunk":
            y, state = mixer.chunked(x, weights, state, self.chunk)
        else:
            y, state = Mixer.chunked(mixer, x, weights, state, self.chunk)
        return y, state if self.keeps else None

    def _mode(self, tokens: int, state: State | None) -> str:
        if self.mode != "auto":
            return self.mode
        if tokens == 1:
            return "recurrent"
        if "chunk" not in self.mixer.modes and "parallel" in self.mixer.modes and state is None and not self.keeps:
            return "parallel"
        return "chunk"


# --- runs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """The tokens of one document of one row.

    Arguments:
        row: of the batch.
        start: of its tokens in the list of all of them.
        length: tokens.
        first, last: whether the row's first, or last, token is in it.
    """

    row: int
    start: int
    length: int
    first: bool
    last: bool


def _runs(
    x: Tensor, reading: _Reading, state: SavedState | None, documents: Tensor | None, padding: Tensor | None
) -> tuple[Tensor, SavedState | None]:
    batch, tokens, hidden = x.shape
    places, runs = _found(_given(documents, "documents", x), _given(padding, "padding", x), x)
    flat, y = x.reshape(-1, hidden), x.new_zeros(batch * tokens, hidden)
    home = {row: group for group in (state.groups if state is not None else ()) for row in group.rows}
    ended: list[Group] = []
    for some, longest in _together(runs, reading, home):
        place = torch.arange(longest, device=x.device)
        starts = torch.tensor([run.start for run in some], device=x.device)[:, None]
        lengths = torch.tensor([run.length for run in some], device=x.device)[:, None]
        inside = place < lengths
        index = places[torch.where(inside, starts + place, starts)]
        before = _rows_of(home[some[0].row], some) if some[0].first and home else None
        found, after = reading.read(flat[index], before)
        y = y.index_put((index[inside],), found[inside])
        if after is not None and some[0].last:
            ended.append(Group(tuple(run.row for run in some), after))
    if not reading.keeps:
        return y.view(x.shape), None
    for row in sorted(set(range(batch)) - {run.row for run in runs}):  # rows of nothing but padding
        kept = _rows_of(home[row], [_Run(row, 0, 0, True, True)]) if home else None
        ended.append(Group((row,), kept or reading.mixer.initial_state(1, reading.weights)))
    return y.view(x.shape), SavedState(reading.mixer, _merged(ended))


def _given(given: Tensor | None, name: str, x: Tensor) -> Tensor | None:
    if given is not None and (given.ndim != 2 or given.shape[1] != x.shape[1] or given.shape[0] not in (1, len(x))):
        raise ShapeError(f"{name} must be (batch, {x.shape[1]}), one per token, got {tuple(given.shape)}")
    return given


def _found(documents: Tensor | None, padding: Tensor | None, x: Tensor) -> tuple[Int64[Tensor, " real"], list[_Run]]:
    """Find the places of the real tokens in the flat batch, run by run, and the runs."""
    batch, tokens, _ = x.shape
    plain = torch.zeros(batch, tokens, dtype=torch.int64, device=x.device)
    number = plain if documents is None else documents.long().to(x.device).expand(batch, -1)
    real = plain == 0 if padding is None else ~padding.bool().to(x.device).expand(batch, -1)
    where = real.flatten().nonzero()[:, 0]
    if not len(where):
        return where, []
    row, number = where // tokens, number.flatten()[where]
    _, document = torch.unique(torch.stack([row, number], 1), dim=0, return_inverse=True)  # numbered row by row
    together = document.argsort(stable=True)
    lengths = torch.bincount(document)
    starts = lengths.cumsum(0) - lengths
    changes, end = row[1:] != row[:-1], torch.ones_like(row[:1], dtype=torch.bool)
    first = set(document[torch.cat([end, changes])].tolist())
    last = set(document[torch.cat([changes, end])].tolist())
    found = zip(row[together][starts].tolist(), starts.tolist(), lengths.tolist(), strict=True)
    runs = [_Run(*each, index in first, index in last) for index, each in enumerate(found)]
    return where[together], runs


def _together(runs: list[_Run], reading: _Reading, home: dict[int, Group]) -> Iterator[tuple[list[_Run], int]]:
    """Runs to be read in one call, and their longest length.

    Runs whose last state is wanted, or whose tokens see later ones, have equal lengths. Others share a power of two.
    """
    groups: dict[object, list[_Run]] = {}
    for run in runs:
        exact = not reading.causal or (reading.keeps and run.last)
        length = run.length if exact else (run.length - 1).bit_length()
        before = id(home[run.row]) if run.first and home else None
        groups.setdefault((exact, length, before, run.last and reading.keeps), []).append(run)
    for some in groups.values():
        yield some, max(run.length for run in some)


def _rows_of(group: Group, runs: list[_Run]) -> State:
    """The states of the rows that runs go on with."""
    places = torch.tensor([group.rows.index(run.row) for run in runs])
    return {name: value[places.to(value.device)] for name, value in group.tensors.items()}


def _merged(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Put rows with states of equal shapes together, in the order of their numbers."""
    alike: dict[object, list[Group]] = {}
    for group in groups:
        shapes = tuple((name, value.shape[1:]) for name, value in group.tensors.items())
        alike.setdefault(shapes, []).append(group)
    merged = []
    for some in alike.values():
        rows = torch.tensor([row for group in some for row in group.rows])
        order = rows.argsort()
        tensors = {
            name: torch.cat([group.tensors[name] for group in some])[order.to(some[0].tensors[name].device)]
            for name in some[0].tensors
        }
        merged.append(Group(tuple(rows[order].tolist()), tensors))
    return tuple(merged)


# --- checks -----------------------------------------------------------------------------------------------------------


def _check(x: Tensor, mixer: Mixer, weights: Weights, state: SavedState | None, mode: str, chunk: int) -> None:
    if x.ndim != 3:
        raise ShapeError(f"mix takes (batch, tokens, hidden), got {tuple(x.shape)}")
    if mode not in MODES:
        raise SchemeError(f"unknown mode {shown(mode)}{nearest(str(mode), MODES)}; there are {', '.join(MODES)}")
    if chunk < 1:
        raise ShapeError(f"a chunk must have at least 1 token, got {chunk}")
    if mode not in ("auto", *mixer.modes):
        raise RefusalError(f"{mixer.name} has no {mode} form: use mode={' or '.join(map(repr, mixer.modes))}")
    if state is not None:
        _check_state(x, mixer, weights, state)


def _check_state(x: Tensor, mixer: Mixer, weights: Weights, state: SavedState) -> None:
    if state.mixer != mixer:
        raise RefusalError(f"this state was left by {state.mixer!r}: give it to that mixer, not to {mixer!r}")
    if state.batch != len(x):
        raise ShapeError(f"this state is of {state.batch} rows and x has {len(x)}: give the rows that it was left by")
    for name, plain in mixer.initial_state(1, weights).items():
        for group in state.groups:
            found = group.tensors.get(name)
            wanted = tuple(plain.shape[1:])
            if (
                found is None
                or len(found.shape) != plain.ndim
                or any(has != size for has, size in zip(found.shape[1:], wanted, strict=True) if size)
            ):
                has = None if found is None else tuple(found.shape[1:])
                raise ShapeError(f"{name} of this state has the shape {has} in a row and {mixer.name} needs {wanted}")
