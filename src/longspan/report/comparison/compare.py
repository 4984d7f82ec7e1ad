"""Compare: every method of every folder beside each other, and paired by document with one of them if possible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.statistics.interval import Estimate, paired
from longspan.report.comparison.finished import FACTS, GAIN, LOSS, SHORT, SPEED, Finished, Measured

ORDER = (LOSS, GAIN, FACTS, SHORT, SPEED)
"""Of a study's quantities; those of surveys follow as they come."""
FEWEST_PAIRS = 2
"""Documents without which a difference has no interval."""


@dataclass(frozen=True)
class Row:
    """A method of a folder at one length.

    Arguments:
        label: of the folder.
        model: of the folder.
        method: a scheme's text, "plain" or "truncation".
        length: tokens of the texts.
        values: by quantity.
        differences: to the reference, paired by document, by quantity.
        failed: why there are no values; None where there are.
        unpaired: why there are no differences; None where there are, and for the reference itself.
    """

    label: str
    model: str
    method: str
    length: int
    values: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    failed: str | None
    unpaired: str | None


@dataclass(frozen=True)
class Table:
    """Rows that share their quantities.

    Arguments:
        verb: "extend" or "measure".
        units: by quantity.
        rows: of the folders that the verb wrote.
    """

    verb: str
    units: Mapping[str, str]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Comparison:
    """Folders beside each other.

    Arguments:
        folders: what was compared.
        reference: label and method that the others are paired with.
        units: of every quantity.
        rows: every method of every folder at every length.
    """

    folders: tuple[Finished, ...]
    reference: tuple[str, str]
    units: Mapping[str, str]
    rows: tuple[Row, ...]

    @property
    def tables(self) -> list["Table"]:
        """The rows by the verb that wrote their folders, each with the quantities that they have."""
        found = []
        for verb in dict.fromkeys(folder.verb for folder in self.folders):
            labels = [folder.label for folder in self.folders if folder.verb == verb]
            rows = tuple(row for row in self.rows if row.label in labels)
            units = {name: unit for name, unit in self.units.items() if any(name in row.values for row in rows)}
            found.append(Table(verb, units, rows))
        return found

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "folders": [
                {
                    "label": each.label,
                    "verb": each.verb,
                    "model": each.model,
                    "dtype": each.dtype,
                    "fingerprint": each.fingerprint,
                    "trained_length": each.trained_length,
                    "says": each.says,
                }
                for each in self.folders
            ],
            "reference": {"label": self.reference[0], "method": self.reference[1]},
            "units": dict(self.units),
            "rows": [
                {
                    "label": row.label,
                    "model": row.model,
                    "method": row.method,
                    "length": row.length,
                    "values": {name: found.json() for name, found in row.values.items()},
                    "differences": {name: found.json() for name, found in row.differences.items()},
                    "failed": row.failed,
                    "unpaired": row.unpaired,
                }
                for row in self.rows
            ],
        }


def compare(folders: Sequence[Finished]) -> Comparison:
    """Put folders beside each other; the first method of the first folder is what the others are paired with."""
    first = folders[0]
    reference = {(number.quantity, number.length): number for number in first.measured if number.method == first.first}
    units = {number.quantity: number.unit for folder in folders for number in folder.measured}
    ordered = sorted(units, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    rows = []
    for folder in folders:
        for method, length in dict.fromkeys((number.method, number.length) for number in folder.measured):
            own = [number for number in folder.measured if (number.method, number.length) == (method, length)]
            is_reference = folder is first and method == first.first
            differences = {} if is_reference else _differences(own, reference)
            failed = next((number.failed for number in own if number.failed), None)
            values = {number.quantity: number.estimate for number in own if number.estimate is not None}
            unpaired = None if is_reference or differences or failed else _why_unpaired(own, reference)
            rows.append(Row(folder.label, folder.model, method, length, values, differences, failed, unpaired))
    return Comparison(tuple(folders), (first.label, first.first), {name: units[name] for name in ordered}, tuple(rows))


def _differences(own: Sequence[Measured], reference: Mapping[tuple[str, int], Measured]) -> dict[str, Estimate]:
    """Differences to the reference on the documents that both have read."""
    found = {}
    for number in own:
        other = reference.get((number.quantity, number.length))
        shared = _shared(number, other)
        if other is not None and len(shared) >= FEWEST_PAIRS:
            ours, theirs = ([each.by_document[key] for key in shared] for each in (number, other))
            found[number.quantity] = paired(ours, theirs)
    return found


def _shared(number: Measured, other: Measured | None) -> list[str]:
    return [] if other is None else sorted(number.by_document.keys() & other.by_document.keys())


def _why_unpaired(own: Sequence[Measured], reference: Mapping[tuple[str, int], Measured]) -> str:
    """Why nothing could be paired, in a few words."""
    pairs = [(number, reference[key]) for number in own if (key := (number.quantity, number.length)) in reference]
    if not pairs:
        return "measured something else, or at another length"
    if not any(number.by_document for number, _ in pairs) or not any(other.by_document for _, other in pairs):
        return "no results of single documents (results.jsonl) that fit its summary, in its folder or the first"
    if any(_shared(number, other) for number, other in pairs):
        return "only one document in common: two give a difference its interval"
    if any(_texts(number) & _texts(other) for number, other in pairs):
        return "the same texts, asked otherwise: another trained length, or another order of texts"
    return "other texts, or another tokenizer"


def _texts(number: Measured) -> set[str]:
    """The digests of the documents of a number."""
    return {key.partition(" ")[0] for key in number.by_document}
