"""A comparison in plain text, and as a table of comma-separated values."""

import csv
import io
from collections.abc import Mapping
from math import isinf

from longspan.measure.statistics.interval import Estimate
from longspan.report.comparison.compare import Comparison, Row, Table
from longspan.report.comparison.finished import SHARE, SPEED
from longspan.report.text import aligned, value
from longspan.report.words import nats, percent

COLUMNS = (
    *("folder", "model", "method", "tokens", "quantity", "unit", "value", "low", "high", "documents"),
    *("difference", "difference_low", "difference_high", "pairs", "failed", "unpaired"),
)


def share_text(comparison: Comparison) -> str:
    """Return what the folders say, a table of all methods, and what is paired with what, as plain text."""
    lines = [f"{each.label}: {about}" for each, about in zip(comparison.folders, abouts(comparison), strict=True)]
    for table in comparison.tables:
        lines += ["", *_aligned(table)]
    lines.append("")
    if any(row.differences for row in comparison.rows):
        lines.append(reference_sentence(comparison))
        lines += [f"{_name(row)}: {difference_words(row, comparison)}" for row in comparison.rows if row.differences]
    lines += [f"{who}: not paired with others: {why}" for who, why in unpaired(comparison).items()]
    return "\n".join(lines).rstrip("\n") + "\n"


def abouts(comparison: Comparison) -> list[str]:
    """Return a line about each folder."""
    return [
        f"{each.model}, trained on {each.trained_length} tokens, {each.dtype}, longspan {each.verb}"
        + (f". {each.says}" if each.says else "")
        for each in comparison.folders
    ]


def reference_sentence(comparison: Comparison) -> str:
    """Return what the others are paired with."""
    label, method = comparison.reference
    return f"Paired by document with {method} of {label} (value minus its value; 95 % intervals):"


def difference_words(row: Row, comparison: Comparison) -> str:
    """Return a row's differences in one line."""
    return ", ".join(
        f"{name} {difference(found, comparison.units[name])} ({found.documents} documents)"
        for name, found in row.differences.items()
    )


def difference(found: Estimate, unit: str) -> str:
    """Return a difference with its interval; of shares, in points.

    >>> difference(Estimate(-0.5, -0.75, -0.25, 8), "share")
    '−50 points [−75, −25]'
    """
    if unit != SHARE:
        return nats(found)
    ends = [end if isinf(end) else 100 * end for end in (found.value, found.low, found.high)]
    center, low, high = ("∞" if isinf(end) else f"{end:+.0f}".replace("-", "−") for end in ends)
    return f"{center} points [{low}, {high}]"


def unpaired(comparison: Comparison) -> dict[str, str]:
    """Return why something is not paired: of a whole folder in one line, where the reason is the same."""
    found: dict[str, str] = {}
    for folder in comparison.folders:
        rows = [row for row in comparison.rows if row.label == folder.label]
        reasons = {row.unpaired for row in rows if row.unpaired}
        if len(reasons) == 1 and not any(row.differences for row in rows):
            found[folder.label] = reasons.pop()
        else:
            found |= {_name(row): row.unpaired for row in rows if row.unpaired}
    return found


def shown(found: Estimate | None, unit: str, failed: str | None = None) -> str:
    """Return a number as a table shows it."""
    if found is None or failed:
        return value(found, failed)
    if unit == SHARE:
        return percent(found)
    return f"{found.value:,.0f}" if unit == SPEED else value(found).replace("-", "−")


def table(comparison: Comparison) -> str:
    """Return every number as a line of comma-separated values."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in comparison.rows:
        begin = [row.label, row.model, row.method, row.length]
        end = [row.failed or "", row.unpaired or ""]
        if not row.values:
            writer.writerow([*begin, *[""] * (len(COLUMNS) - len(begin) - len(end)), *end])
        for name, found in row.values.items():
            numbers = [*_numbers(found), *_numbers(row.differences.get(name))]
            writer.writerow([*begin, name, comparison.units[name], *numbers, *end])
    return buffer.getvalue()


def _numbers(found: Estimate | None) -> list[str | float | int]:
    """Value, ends and documents; an infinite end, and what is not there, is empty."""
    if found is None:
        return [""] * 4
    ends = ["" if isinf(end) else end for end in (found.value, found.low, found.high)]
    return [*ends, found.documents]


def _aligned(table: Table) -> list[str]:
    """A table with a line for each folder above its rows."""
    head = ["method", "tokens", *table.units]
    lines = [head]
    for label in dict.fromkeys(row.label for row in table.rows):
        lines.append([label, *[""] * (len(head) - 1)])
        lines += [_cells(row, table.units) for row in table.rows if row.label == label]
    return aligned(lines)


def _cells(row: Row, units: Mapping[str, str]) -> list[str]:
    values = [shown(row.values.get(name), unit) for name, unit in units.items()]
    if row.failed and not row.values:
        values[0] = "failed"
    return [f"  {row.method}", str(row.length), *values]


def _name(row: Row) -> str:
    return f"{row.label}, {row.method}, {row.length}"
