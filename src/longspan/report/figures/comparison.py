"""Figures of a comparison: every method of every folder, with intervals, and curves where lengths differ."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

import matplotlib as mpl
from matplotlib.figure import Figure

from longspan.measure.statistics.interval import Estimate
from longspan.report.comparison.compare import Comparison, Row
from longspan.report.figures.canvas import (
    INK,
    SPARE,
    STYLE,
    WIDTH,
    Look,
    bars,
    drawing,
    put_legend,
    svg,
    token_axis,
    wrapped,
)

LETTERS = 32
"""Letters of a name beside the dots, in a line."""
LINE = 0.155
"""Inches."""


def figures(comparison: Comparison) -> dict[str, str]:
    """Return the figures by what they show: one for each quantity that more than one row has."""
    looks = _looks(comparison)
    found: dict[str, str] = {}
    for name, unit in comparison.units.items():
        rows = [row for row in comparison.rows if name in row.values]
        if len(rows) > 1:
            lines = {(row.label, row.method) for row in rows}
            draw = _curves if len(lines) < len(rows) else _dots
            found[name] = draw(rows, name, unit, looks)
    return found


def _looks(comparison: Comparison) -> dict[str, Look]:
    """One color and marker for each folder."""
    return {each.label: SPARE[number % len(SPARE)] for number, each in enumerate(comparison.folders)}


def _dots(rows: Sequence[Row], name: str, unit: str, looks: Mapping[str, Look]) -> str:
    """A dot with an interval for each row; the folder's name is in the row's where there are several."""
    several = len(looks) > 1
    lengths = len({row.length for row in rows}) > 1
    names = [
        "\n".join(wrap(f"{row.label}: " * several + row.method + f", {row.length}" * lengths, LETTERS)) for row in rows
    ]
    lines = [label.count("\n") + 1 for label in names]
    places = [sum(lines[:number]) + count / 2 for number, count in enumerate(lines)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.85 + LINE * (sum(lines) + len(lines) * 0.5)), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        for row, place in zip(rows, places, strict=True):
            found, look = row.values[name], looks[row.label]
            axes.errorbar(
                [found.value], [place], xerr=bars([found]), color=look.color, fmt=look.marker, ms=4.5, capsize=2
            )
        axes.set_yticks(places, names, fontsize=8)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(sum(lines) + 0.3, -0.3)
        axes.margins(x=0.08)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel("\n".join(wrap(_label(name, unit), LETTERS // 2 + 4)))
        return svg(figure, _label(name, unit))


def _curves(rows: Sequence[Row], name: str, unit: str, looks: Mapping[str, Look]) -> str:
    """A line for each method of each folder against the length of the texts."""
    lines: dict[tuple[str, str], dict[int, Estimate]] = {}
    for row in rows:
        lines.setdefault((row.label, row.method), {})[row.length] = row.values[name]
    several = len(looks) > 1
    names = {key: wrapped(": ".join(key) if several else key[1]) for key in lines}
    markers = {key: SPARE[number % len(SPARE)] for number, key in enumerate(lines)}
    with mpl.rc_context(STYLE):
        figure, (axes,) = drawing(list(names.values()))
        token_axis(axes, sorted({row.length for row in rows}), "length, tokens")
        for key, found in lines.items():
            values = list(found.values())
            axes.errorbar(
                list(found), [each.value for each in values], yerr=bars(values), color=markers[key].color,
                fmt=f"{markers[key].marker}-", ms=4, lw=1.3, capsize=2, label=names[key],
            )  # fmt: skip
        axes.margins(y=0.08)
        axes.set_ylabel("\n".join(wrap(_label(name, unit), LETTERS)))
        put_legend(axes)
        return svg(figure, _label(name, unit))


def _label(name: str, unit: str) -> str:
    return name if unit in name else f"{name}, {unit}"
