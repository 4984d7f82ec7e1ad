"""What all figures share: size, style, axes, legend, and the way from matplotlib to an element of the page.

A figure is as wide as a phone, so that it loses nothing there, and a wide page shows two beside each other. Text stays
text. Colors are drawn as placeholders and then named after the page's variables. matplotlib is imported in this folder
and nowhere else.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, isinf, log2, nan
from textwrap import wrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from longspan.measure.statistics.interval import Estimate

PLACEHOLDERS = {
    "#010101": "var(--ink)",
    "#020202": "var(--line)",
    "#030303": "var(--muted)",
    "#040404": "var(--accent)",
    "#050505": "var(--second)",
    "#060606": "var(--third)",
    "#070707": "var(--fourth)",
}
INK, LINE, MUTED, ACCENT, SECOND, THIRD, FOURTH = PLACEHOLDERS
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "longspan",
    "font.size": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
WIDTH, HEIGHT = 4.4, 2.5
"""Of the axes with their labels, inches."""
LEGEND_LINE = 0.165
"""Inches."""
LETTERS = 50
"""Letters of a legend's line that fit into the width, in whatever font the reader has."""
FEWEST_OCTAVES = 1 / 6
"""The least distance between two numbers at a logarithmic axis, as a share of its length."""

FURTHEST = 3.0
"""How many times longer the plain model may make an axis."""


@dataclass(frozen=True)
class Look:
    """How a row is drawn, so that it is known by color and by shape.

    Arguments:
        color: a placeholder.
        marker: as matplotlib names it.
    """

    color: str
    marker: str


SPARE = (Look(ACCENT, "o"), Look(SECOND, "s"), Look(THIRD, "D"), Look(FOURTH, "v"), Look(MUTED, "P"), Look(INK, "X"))
"""What rows without a meaning of their own get, in turn."""


def drawing(legend: Sequence[str], panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels above each other, with room for a legend above them."""
    lines = sum(name.count("\n") + 1 for name in legend)
    figure = Figure(figsize=(WIDTH, HEIGHT * (1 + 0.6 * (panels - 1)) + LEGEND_LINE * lines), layout="constrained")
    axes = [figure.add_subplot(panels, 1, number + 1) for number in range(panels)]
    for each in axes:
        each.grid(axis="y")
        each.set_axisbelow(True)
    return figure, axes


def wrapped(name: str) -> str:
    """Return a whole name in lines that fit into a legend."""
    return "\n".join(wrap(name, LETTERS))


def put_legend(axes: Axes) -> None:
    """Name every row above the axes, one below the other."""
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, loc="outside upper left", fontsize=8.5, handlelength=1.8, labelspacing=0.3)


def mark_trained(axes: Axes, trained: int) -> None:
    """Mark the trained length, if it is in the figure, and name it above the axes, where no line runs."""
    low, high = axes.get_xlim()
    if not low <= trained <= high:
        return
    axes.axvline(trained, color=MUTED, lw=1, ls=":")
    at = (log2(trained / low) / log2(high / low)) if axes.get_xscale() == "log" else (trained - low) / (high - low)
    side = "left" if at < 0.25 else "right" if at > 0.75 else "center"
    axes.annotate(
        f"trained length {trained}", (trained, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
        textcoords="offset points", fontsize=8, color=MUTED, ha=side,
    )  # fmt: skip


def token_axis(axes: Axes, tokens: Sequence[int], label: str) -> None:
    """Put numbers of tokens on a logarithmic axis; numbers too close to their right neighbor are not written."""
    low, high = min(tokens), max(tokens)
    axes.set_xscale("log", base=2)
    room = 2 ** (0.06 * max(1.0, log2(high / low)))
    axes.set_xlim(low / room, high * room)
    written: list[int] = []
    for number in sorted(tokens, reverse=True):
        if not written or log2(written[-1] / number) >= FEWEST_OCTAVES * log2(high / low):
            written.append(number)
    axes.set_xticks(sorted(tokens), [str(number) if number in written else "" for number in sorted(tokens)])
    axes.minorticks_off()
    axes.set_xlabel(label)


def fit(axes: Axes, values: Sequence[float], guests: Sequence[float] = ()) -> None:
    """Let the vertical axis show these values, with room around them.

    Arguments:
        guests: values that are shown too unless they would make the axis longer than `FURTHEST` times as long.
    """
    known, invited = [value for value in values if isfinite(value)], [value for value in guests if isfinite(value)]
    everything = [*known, *invited]
    if not known or _length(everything) <= FURTHEST * _length(known):
        known = everything
    room = 0.08 * _length(known) or 0.1
    axes.set_ylim(min(known) - room, max(known) + 1.5 * room)


def _length(values: Sequence[float]) -> float:
    return max(values) - min(values)


def within(axes: Axes, values: Sequence[float]) -> list[float]:
    """Return values of which those outside the axes are left out, so that no mark is cut at the edge."""
    low, high = axes.get_ylim()
    return [value if low <= value <= high else nan for value in values]


def above(axes: Axes, places: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """Return the points that lie above the axes: place and value."""
    top = axes.get_ylim()[1]
    return [(place, value) for place, value in zip(places, values, strict=True) if value > top]


def point_above(axes: Axes, points: Sequence[tuple[float, float]], look: Look, name: str) -> None:
    """Say with an arrow at the top how high a row rises that leaves the figure; nothing where no point does."""
    if not points:
        return
    place, value = max(points, key=lambda point: point[1])
    low, high = axes.get_xlim()
    middle = (low * high) ** 0.5 if axes.get_xscale() == "log" else (low + high) / 2
    side, align = (6, "left") if place < middle else (-6, "right")
    axes.plot(
        [place], [0.95], transform=axes.get_xaxis_transform(), color=look.color, marker="^", ms=5, lw=0, clip_on=False
    )
    axes.annotate(
        f"{name}: up to {value:.2f}", (place, 0.95), xycoords=("data", "axes fraction"), xytext=(side, 0),
        textcoords="offset points", fontsize=8, color=look.color, ha=align, va="center",
    )  # fmt: skip


def ends(estimates: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    """Lower and upper ends of intervals; the value itself where one document says nothing about others."""
    lower = [estimate.value if isinf(estimate.low) else estimate.low for estimate in estimates]
    upper = [estimate.value if isinf(estimate.high) else estimate.high for estimate in estimates]
    return lower, upper


def both_ends(estimates: Sequence[Estimate]) -> list[float]:
    """Return all ends of intervals."""
    lower, upper = ends(estimates)
    return [*lower, *upper]


def bars(estimates: Sequence[Estimate]) -> list[list[float]]:
    """How far the lower and the upper ends lie from the values."""
    return [[abs(end - each.value) for each, end in zip(estimates, side, strict=True)] for side in ends(estimates)]


def svg(figure: Figure, title: str) -> str:
    """Return the figure as an element that scales with the page."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for placeholder, name in PLACEHOLDERS.items():
        text = text.replace(to_hex(placeholder), name)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 var(--sans)", text)
    head, rest = text.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{title}">{rest}'
