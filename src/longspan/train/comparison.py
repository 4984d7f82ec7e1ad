"""What a grid says: for each design and method the losses and accuracies of every seed, and whether the model learned.

Accuracies are Su's triple (kexue.fm/archives/9603): at the trained length, on a text of the longest length that
repeats, and on one that does not. A model counts as trained where context helps it: the same tokens of each document
are read with the trained length L and with L/4 before them, and the mean difference is below 0 by a one-sided interval
of Student's t over documents, at 95 %. These are more documents than the losses beyond L are measured on: short ones
cost little, and the difference is small. Hidden tokens and answers have shares of right symbols and of whole
answers by length; a model of a task counts as trained where its whole answers at the longest trained length are above
chance, and above one answer to all of them, by a 95 % interval over examples.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from longspan.measure.corpus.documents import Document
from longspan.measure.models.model import PLAIN
from longspan.measure.reduction import reduction_of
from longspan.measure.statistics.interval import LEVEL, Estimate, mean, paired, share
from longspan.train.data.choosing import chance, commonest
from longspan.train.exams.exam import ALL, RESULTS, SUMMARY, read_records
from longspan.train.exams.hidden_tokens import SAME
from longspan.train.grid import SHARES, Cell
from longspan.train.settings import Settings

TRIPLE = ("short", "repeated", "not_repeated")
MEASURED = "measured"
"""The folder of what the table [test] of a cell asks for."""
CONTEXT, CONTEXT_DOCUMENTS = "context", 256
"""The folder of the losses at L/4 and L of a cell that reads texts, and on how many documents they are measured."""
ONE_SIDED = 2 * LEVEL - 1
"""The level of an interval of two sides whose ends are one-sided ones at `LEVEL`."""


@dataclass(frozen=True)
class Outcome:
    """One method on the model of one cell.

    Arguments:
        seed: of the cell.
        loss: of the last tokens by length, nats; a mean over documents.
        accuracy: Su's triple by name, shares of tokens.
        learned: whether the model counts as trained.
        failed: why there are no numbers; None where there are.
        symbols: shares of hidden tokens, or of the symbols of answers, that were predicted, by length.
        whole: shares of whole answers by length.
        context: the loss at L less that at L/4, nats, paired by document; its upper end is the one-sided one. None for
            a task, and where it was not measured.
    """

    seed: int
    loss: dict[int, float]
    accuracy: dict[str, float]
    learned: bool = False
    failed: str | None = None
    symbols: dict[int, Estimate] = field(default_factory=dict)
    whole: dict[int, Estimate] = field(default_factory=dict)
    context: Estimate | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Outcome":
        """Read its JSON."""
        shares = {
            name: {int(n): Estimate.of(share) for n, share in found[name].items()} for name in ("symbols", "whole")
        }
        loss = {int(n): value for n, value in found["loss"].items()}
        context = None if found["context"] is None else Estimate.of(found["context"])
        return cls(**{**found, **shares, "loss": loss, "context": context})


@dataclass(frozen=True)
class Row:
    """One design under one method.

    Arguments:
        design, method: by name.
        outcomes: one for each seed that was measured.
    """

    design: str
    method: str
    outcomes: tuple[Outcome, ...]

    @property
    def learned(self) -> bool:
        """Whether the models of all seeds count as trained."""
        return all(outcome.learned for outcome in self.outcomes)

    def loss(self, length: int) -> Estimate | None:
        """The loss at a length with its interval over seeds; None where a seed has none."""
        return _over_seeds([outcome.loss.get(length) for outcome in self.outcomes])

    def accuracy(self, name: str) -> Estimate | None:
        """One of Su's triple with its interval over seeds."""
        return _over_seeds([outcome.accuracy.get(name) for outcome in self.outcomes])

    def symbols(self, length: int) -> Estimate | None:
        """The share of symbols at a length: Wilson's interval of one seed, or an interval over seeds."""
        return _share([outcome.symbols.get(length) for outcome in self.outcomes])

    def whole(self, length: int) -> Estimate | None:
        """The share of whole answers at a length, likewise."""
        return _share([outcome.whole.get(length) for outcome in self.outcomes])

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Row":
        """Read its JSON."""
        return cls(found["design"], found["method"], tuple(Outcome.of(each) for each in found["outcomes"]))


def compare(cells: Iterable[Cell], folder: Path) -> tuple[Row, ...]:
    """Read the measurements of the cells that were measured by their table [test] as it is now, design by design.

    Arguments:
        folder: of the grid.
    """
    runs = ((cell, folder / cell.folder) for cell in cells)
    return compared((cell, own) for cell, own in runs if is_measured(cell, own))


def is_measured(cell: Cell, folder: Path) -> bool:
    """Whether all of a cell was measured by its table [test] as it is now.

    Arguments:
        folder: of the cell.
    """
    try:
        made = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    asked = json.loads(json.dumps(cell.settings.json()["test"]))
    return made["settings"]["test"] == asked and all(summary.exists() for summary in summaries(cell, folder))


def summaries(cell: Cell, folder: Path) -> Sequence[Path]:
    """Return the files that say that all of a cell was measured.

    Arguments:
        folder: of the cell.
    """
    measured = [MEASURED] if cell.settings.data.task is not None else [MEASURED, CONTEXT]
    return [folder / name / SUMMARY for name in measured]


def compared(runs: Iterable[tuple[Cell, Path]]) -> tuple[Row, ...]:
    """Read the measurements of some runs, design by design.

    A folder may hold more than its last measurement asked for: those of other lengths, documents and methods.

    Arguments:
        runs: each with its folder.
    """
    found: dict[tuple[str, str], list[Outcome]] = {}
    for cell, folder in runs:
        records = _asked(cell.settings, folder / MEASURED)
        learning = _learning(cell, _asked(context_settings(cell.settings), folder / CONTEXT) or records)
        for method in dict.fromkeys(record["arguments"]["method"] for record in records):
            own = [record for record in records if record["arguments"]["method"] == method]
            outcome = replace(_outcome(cell, own), **learning)
            found.setdefault((cell.name, method), []).append(outcome)
    return tuple(Row(design, method, tuple(outcomes)) for (design, method), outcomes in found.items())


def _asked(settings: Settings, folder: Path) -> list[dict[str, Any]]:
    """The records of what was asked last, method by method in the order in which they were asked for."""
    asked = _AskedByExam(settings) if settings.has_exam else _AskedBySurvey.read(folder / SUMMARY)
    kept = [record for record in read_records(folder / RESULTS) if asked.has(record["arguments"])]
    return sorted(kept, key=lambda record: asked.methods.index(record["arguments"]["method"]))


@dataclass(frozen=True)
class _AskedByExam:
    """What an exam asks."""

    settings: Settings

    @property
    def methods(self) -> tuple[str, ...]:
        return PLAIN, *self.settings.test.methods

    def has(self, asked: Mapping[str, Any]) -> bool:
        among = asked["method"] in self.methods and asked["length"] in self.settings.lengths
        return among and asked["index"] < self.settings.test.docs


@dataclass(frozen=True)
class _AskedBySurvey:
    """What a survey asked last, as its summary names it; nothing where there is none.

    Arguments:
        losses: names of losses, each with a method.
        lengths: from the shortest on.
        documents: their names, by index.
    """

    losses: tuple[tuple[str, str], ...] = ()
    lengths: tuple[int, ...] = ()
    documents: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "_AskedBySurvey":
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except OSError:
            return cls()
        losses = tuple((row["loss"], row["method"]) for row in found["losses"])
        return cls(losses, tuple(found["setting"]["lengths"]), tuple(found["setting"]["documents"]))

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(method for _, method in self.losses))

    def has(self, asked: Mapping[str, Any]) -> bool:
        """Whether it asked for a record; its document is cut to the longest length, or to what the loss reads."""
        loss, length, index = asked.get("loss", ""), asked["length"], asked["index"]
        if (loss, asked["method"]) not in self.losses or length not in self.lengths or index >= len(self.documents):
            return False
        document = Document(**asked["document"])
        read = self.lengths[-1] if reduction_of(loss).reads_all else length
        return (document.name, document.length) == (self.documents[index], read)


def _outcome(cell: Cell, records: Sequence[dict[str, Any]]) -> Outcome:
    failed = next((record["failed"] for record in records if record["result"] is None), None)
    if failed is not None:
        return Outcome(cell.seed, {}, {}, failed=failed)
    lengths = cell.settings.lengths
    if cell.settings.has_exam:
        return _examined(cell, records)
    loss = {n: mean(list(found.values())).value for n in lengths if (found := _last_losses(records, n))}
    triples = [record["result"] for record in records if _is(record, "repetition", lengths[-1])]
    accuracy = {name: mean([each[name]["all"] for each in triples]).value for name in TRIPLE} if triples else {}
    return Outcome(cell.seed, loss, accuracy)


def context_settings(settings: Settings) -> Settings:
    """Return what measures whether context helps the plain model: the losses at L/4 and L, on more documents."""
    lengths = tuple(settings.training.length // share for share in SHARES)
    return replace(settings, test=replace(settings.test, methods=(), lengths=lengths, docs=CONTEXT_DOCUMENTS))


def context_gain(full: Sequence[float], quarter: Sequence[float]) -> Estimate | None:
    """Return the loss of the same tokens with L tokens of context less that with L/4, over documents.

    Arguments:
        full, quarter: one loss per document, in one order.

    The interval is that of two sides at 90 %, so that each end alone is one of 95 %. None for fewer than two documents,
    and where they are not the same.
    """
    return paired(full, quarter, ONE_SIDED) if len(full) == len(quarter) > 1 else None


def _learning(cell: Cell, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is known of the plain model of a cell: whether it counts as trained, and by how much context helps it."""
    length = cell.settings.training.length
    if cell.settings.data.task is not None:
        return {"learned": _answers(cell, records)}
    own = [record for record in records if record["arguments"]["method"] == PLAIN and record["result"] is not None]
    values = _losses if cell.settings.has_exam else _last_losses
    full, quarter = values(own, length), values(own, length // 4)
    same = full.keys() == quarter.keys()
    found = context_gain(list(full.values()), list(quarter.values())) if same else None
    return {"learned": found is not None and found.below_zero, "context": found}


def _answers(cell: Cell, records: Sequence[dict[str, Any]]) -> bool:
    """Whether whole answers at the longest trained length are above chance."""
    data = cell.settings.data
    assert data.task is not None
    own = list(_results((r for r in records if r["arguments"]["method"] == PLAIN), data.longest).values())
    if not own:
        return False
    right = share([each[ALL]["exact"] for each in own], [1] * len(own))
    return right.low > max(chance(data.task), commonest(data.task, data.longest, cell.settings.test.docs))


def _examined(cell: Cell, records: Sequence[dict[str, Any]]) -> Outcome:
    """What an exam says under one method."""
    task, found = cell.settings.data.task is not None, {n: _results(records, n) for n in cell.settings.lengths}
    symbols, whole, loss = dict[int, Estimate](), dict[int, Estimate](), dict[int, float]()
    for length, results in found.items():
        if own := [each[ALL] for each in results.values()]:
            symbols[length] = share([each["right"] for each in own], [each["asked"] for each in own])
            if task:
                whole[length] = share([each["exact"] for each in own], [1] * len(own))
            loss[length] = mean(list(_losses(records, length).values())).value
    return Outcome(cell.seed, loss, {}, symbols=symbols, whole=whole)


def _results(records: Iterable[dict[str, Any]], length: int) -> dict[int, dict[str, Any]]:
    """The results at a length by index, in its order."""
    own = [r for r in records if r["arguments"]["length"] == length and r["result"] is not None]
    found = {record["arguments"]["index"]: record["result"] for record in own}
    return dict(sorted(found.items()))


def _losses(records: Iterable[dict[str, Any]], length: int) -> dict[int, float]:
    """The losses of an exam at a length, by index: of the tokens that all lengths share, where it has such."""
    found = {i: result.get(SAME, result[ALL])["loss"] for i, result in _results(records, length).items()}
    return {index: loss for index, loss in found.items() if loss is not None}


def _last_losses(records: Iterable[dict[str, Any]], length: int) -> dict[int, float]:
    """The losses of the last tokens, by document: the same tokens at every length."""
    found = {r["arguments"]["index"]: r["result"]["value"] for r in records if _is(r, "last_k", length)}
    return dict(sorted(found.items()))


def _is(record: dict[str, Any], loss: str, length: int) -> bool:
    asked = record["arguments"]
    return asked.get("loss") == loss and asked["length"] == length and record["result"] is not None


def _over_seeds(values: Sequence[float | None]) -> Estimate | None:
    known = [value for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None


def _share(shares: Sequence[Estimate | None]) -> Estimate | None:
    if len(shares) == 1:
        return shares[0]
    return _over_seeds([None if each is None else each.value for each in shares])
