"""Finished: the results of one folder, whatever verb wrote them, as numbers that can be compared.

A number is a mean over documents. Where the folder has its records, the value of each document is known too, under a
key that is equal in two folders where the same text was asked the same. Texts are known by their tokens.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longspan.errors import InputError
from longspan.measure.measurement import Measurement
from longspan.measure.models.model import PLAIN
from longspan.measure.reduction import reduction_of
from longspan.measure.statistics.interval import Estimate
from longspan.report.records import records
from longspan.report.words import headline
from longspan.study.planning.cells import TRUNCATION
from longspan.study.results import Outcome, beyond
from longspan.study.summary import FailedRow, MethodRow, Summary

WRITTEN_BY = "give folders that longspan extend or longspan measure wrote"
LOSS, GAIN, FACTS, SHORT, SPEED = "loss", "loss minus truncation's", "facts", "cost on short texts", "tokens/s"
NATS, SHARE = "nats per token", "share"

ByDocument = Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """One number about a method.

    Arguments:
        method: a scheme's text, "plain" or "truncation".
        length: tokens of the texts.
        quantity: what was measured.
        unit: of the number.
        estimate: the mean over documents; None where the method failed.
        failed: why there is none.
        by_document: the value of each document by the document's key; empty where that is not known.
    """

    method: str
    length: int
    quantity: str
    unit: str
    estimate: Estimate | None
    failed: str | None = None
    by_document: ByDocument = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class Finished:
    """The results of one folder.

    Arguments:
        label: what the comparison calls it.
        verb: "extend" or "measure", which wrote it.
        model, dtype, fingerprint: of what was measured.
        trained_length: tokens.
        says: its result in a sentence; empty for a survey.
        first: the method that others are compared with.
        measured: every number.
    """

    label: str
    verb: str
    model: str
    dtype: str
    fingerprint: str
    trained_length: int
    says: str
    first: str
    measured: tuple[Measured, ...]


def read(folders: Iterable[Path]) -> list[Finished]:
    """Read folders of results.

    Errors: InputError for a folder that holds none, is not finished, or was given twice.
    """
    paths = list(folders)
    whole = [path.resolve() for path in paths]
    for path in paths:
        if whole.count(path.resolve()) > 1:
            raise InputError(f"{path} was given twice: give each folder once")
    names = [path.name for path in whole]
    return [_read(path, name if names.count(name) == 1 else str(path)) for path, name in zip(paths, names, strict=True)]


def _read(folder: Path, label: str) -> Finished:
    try:
        found = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        begun = (folder / "run.json").exists()
        why = "is not finished: run its command again" if begun else f"holds no results: {WRITTEN_BY}"
        raise InputError(f"{folder} {why}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'summary.json'} cannot be read ({error}): {WRITTEN_BY}") from None
    try:
        return _study(folder, label, Summary.of(found)) if "race" in found else _survey(folder, label, found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / 'summary.json'} is no summary ({error!r}): {WRITTEN_BY}") from None


def _study(folder: Path, label: str, summary: Summary) -> Finished:
    setting = summary.setting
    loss, facts = _of_study(folder, summary)
    measured = [number for row in summary.methods for number in _numbers(row, setting.length, loss, facts)]
    first = summary.winner or (TRUNCATION if summary.truncation else PLAIN)
    return Finished(
        label, "extend", setting.model, setting.dtype, setting.fingerprint, setting.trained_length, headline(summary),
        first, tuple(measured),
    )  # fmt: skip


def _numbers(
    row: MethodRow | FailedRow, length: int, loss: Mapping[str, ByDocument], facts: Mapping[str, ByDocument]
) -> list[Measured]:
    """What a comparison shows of a judged method, at the wanted length."""
    name = row.method
    if isinstance(row, FailedRow):
        return [Measured(name, length, LOSS, NATS, None, row.failed)]
    found = [
        Measured(name, length, LOSS, NATS, row.loss.get(length), None, loss.get(name, {})),
        Measured(name, length, GAIN, NATS, None if name == TRUNCATION else row.loss_minus_truncation.get(length)),
        Measured(name, length, FACTS, SHARE, row.beyond, None, facts.get(name, {})),
        Measured(name, length, SHORT, NATS, row.assessment.price if row.assessment else None),
    ]
    if row.whole is not None:
        found.append(Measured(name, length, SPEED, "tokens/s", _alone(row.whole.tokens_per_second)))
    return [number for number in found if number.estimate is not None]


def _alone(value: float) -> Estimate:
    """A number without an interval."""
    return Estimate(value, value, value, 1)


def _of_study(folder: Path, summary: Summary) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Loss of the tail, and share of the far facts that were found, by method and by document, at the wanted length."""
    loss: dict[str, dict[str, float]] = {}
    facts: dict[str, dict[str, float]] = {}
    setting = summary.setting
    for record in records(folder):
        asked = record["arguments"]
        if asked["kind"] not in ("reading", "truncation") or asked["length"] != setting.length:
            continue
        outcome = Outcome(Measurement.of(asked), record)
        document = outcome.asked.document
        if document.digest in setting.digests if setting.digests else document.name in setting.documents:
            method = TRUNCATION if asked["kind"] == "truncation" else outcome.asked.method
            key = f"{document.digest} {outcome.asked.length} {outcome.asked.tail} {outcome.asked.seed}"
            right, questions = beyond(outcome)
            loss.setdefault(method, {})[key] = outcome.result["loss"]
            if questions:
                facts.setdefault(method, {})[f"{key} {outcome.asked.trained_length}"] = right / questions
    judged = len(setting.documents)
    known = {row: _at_most(judged, found) for row, found in loss.items()}
    return known, {row: found if known[row] else {} for row, found in facts.items()}


def _at_most(documents: int, values: dict[str, float]) -> dict[str, float]:
    """The values of documents; none where there are more than the summary is about, so that some are of other texts.

    A summary of an older version does not say which texts it is about, and a folder may hold results of several.
    """
    return values if len(values) <= documents else {}


def _survey(folder: Path, label: str, found: Mapping[str, Any]) -> Finished:
    setting = found["setting"]
    values = _of_survey(folder, setting)
    measured: list[Measured] = []
    for row, unit, name, numbers in (
        *((row, "score", row["task"], row["scores"]) for row in found["tasks"]),
        *((row, row["unit"], row["loss"], row["values"]) for row in found["losses"]),
    ):
        method = row["method"]
        if row["failed"]:
            measured += [Measured(method, n, name, unit, None, row["failed"]) for n in setting["lengths"]]
        for n, number in numbers.items():
            estimate, first = Estimate.of(number), "task" in row  # a task's mean is that of the first examples
            known = values.get((method, int(n), name), {})
            own = {key: value for key, (index, value) in known.items() if not first or index < estimate.documents}
            by_document = _at_most(estimate.documents, own)
            measured.append(Measured(method, int(n), name, unit, estimate, None, by_document))
    model, dtype, fingerprint, trained = (setting[name] for name in ("model", "dtype", "fingerprint", "trained_length"))
    return Finished(label, "measure", model, dtype, fingerprint, trained, "", PLAIN, tuple(measured))


def _of_survey(folder: Path, setting: Mapping[str, Any]) -> dict[tuple[str, int, str], dict[str, tuple[int, float]]]:
    """Index and score or loss by method, length and name, and by document, of the texts of the summary."""
    values: dict[tuple[str, int, str], dict[str, tuple[int, float]]] = {}
    beginnings, longest = setting.get("beginnings"), max(setting["lengths"])
    for record in records(folder):
        asked, result = record["arguments"], record["result"]
        value = result.get("score", result.get("value"))
        if asked["kind"] not in ("task", "loss") or asked.get("control") or value is None:
            continue
        name, document, n, index = asked[asked["kind"]], asked["document"], asked["length"], asked["index"]
        if n not in setting["lengths"]:
            continue
        if document:
            reads = longest if asked["kind"] == "loss" and reduction_of(name).reads_all else n
            if document["length"] != reads:
                continue
            if beginnings and beginnings[str(reads)][index : index + 1] != [document["digest"]]:
                continue
        # Without a document, index and tokenizer make the text.
        text = document["digest"] if document else asked["fingerprint"]
        which = index if asked["kind"] == "task" else asked["trained_length"]
        values.setdefault((asked["method"], n, name), {})[f"{text} {which}"] = index, float(value)
    return values
