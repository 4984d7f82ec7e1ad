"""Figures: inline SVG that takes its colors from the page around it, so that one file serves light and dark.

Text stays text. Colors are drawn as placeholders and then named after the page's variables. matplotlib is imported here
and nowhere else.
"""

import io
import re
from collections.abc import Sequence
from math import isinf, nan
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from longspan.measure.interval import Estimate
from longspan.measure.model import PLAIN
from longspan.report.palette import standalone
from longspan.report.words import documents_if_fewer
from longspan.study.planning.cells import TRUNCATION
from longspan.study.summary import MethodRow, Summary
from longspan.survey.summary import Survey

PLACEHOLDERS = {
    "#010101": "var(--ink)",
    "#020202": "var(--line)",
    "#030303": "var(--muted)",
    "#040404": "var(--accent)",
    "#050505": "var(--second)",
    "#060606": "var(--third)",
}
INK, LINE, MUTED, ACCENT, SECOND, THIRD = PLACEHOLDERS
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "longspan",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}

LABEL = 36
"""Characters of a label that fit into half the width, in whatever font the reader has."""


def loss_by_context(summary: Summary) -> str:
    """Draw the loss of the same last tokens against the context they see, with truncation as the line to beat."""
    with mpl.rc_context(STYLE):
        figure, axes = _axes()
        for row, color in _colored(summary):
            values = [estimate.value for estimate in row.loss.values()]
            if row.method == TRUNCATION:
                axes.axhline(values[0], color=color, ls=(0, (5, 3)), lw=1.4)
                axes.plot([], [], color=color, ls=(0, (5, 3)), lw=1.4, label="truncation, to beat")
                continue
            axes.plot(list(row.loss), values, color=color, marker="o", ms=4, lw=2, label=_name(row, summary))
        _trained(axes, summary.setting.trained_length)
        _context_axis(axes, summary.setting.contexts)
        axes.set_ylabel("loss, nats per token")
        _legend(axes)
        return _svg(figure, "Loss of the same last tokens against context")


def several_contexts(summary: Summary) -> bool:
    """Whether any line of the figures by context has more than one point; truncation's is level anyway."""
    return any(len(row.loss) > 1 for row in summary.measured if row.method != TRUNCATION)


def gain_by_context(summary: Summary) -> str:
    """Draw paired differences to truncation's loss, with 95 % intervals over documents.

    The axis fits the methods; a plain model that is far worse leaves the figure.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _axes()
        rows = [(row, color) for row, color in _colored(summary) if row.method != TRUNCATION]
        for number, (row, color) in enumerate(rows):
            shift = 2 ** (0.08 * (number - (len(rows) - 1) / 2))
            estimates = list(row.loss_minus_truncation.values())
            axes.errorbar(
                [context * shift for context in row.loss_minus_truncation],
                [estimate.value for estimate in estimates],
                yerr=_distances(estimates),
                color=color,
                fmt="o-",
                ms=4,
                lw=1.6,
                capsize=2.5,
                label=_name(row, summary),
            )
        axes.axhline(0, color=INK, ls=(0, (5, 3)), lw=1.4)
        _context_axis(axes, summary.setting.contexts)
        methods = [list(row.loss_minus_truncation.values()) for row, _ in rows if row.method != PLAIN]
        _limit(axes, [0.0, *(end for estimates in methods for ends in _ends(estimates) for end in ends)])
        axes.set_ylabel("loss minus truncation's, nats")
        _legend(axes)
        return _svg(figure, "Paired difference to truncation, with 95 % intervals")


def loss_by_position(summary: Summary) -> str:
    """Draw the loss by position in the text, with the trained length marked."""
    with mpl.rc_context(STYLE):
        figure, axes = _axes()
        length = summary.setting.length
        for row, color in _colored(summary):
            if row.whole is not None:
                values = [nan if value is None else value for value in row.whole.positions]
                middles = [(part + 0.5) * length / len(values) for part in range(len(values))]
                axes.plot(middles, values, color=color, lw=1.5, label=_name(row, summary))
        _trained(axes, summary.setting.trained_length)
        axes.set_xlim(0, length)
        axes.set_xlabel("position, tokens")
        axes.set_ylabel("loss, nats per token")
        _legend(axes)
        return _svg(figure, "Loss by position")


def heat(summary: Summary) -> str:
    """Draw the share of facts found, by depth and length, one panel per method."""
    rows = [row for row in summary.measured if row.heat]
    lengths = sorted({cell.length for row in rows for cell in row.heat})
    depths = sorted({cell.depth for row in rows for cell in row.heat})
    with mpl.rc_context({**STYLE, "font.size": 9}):
        columns = min(2, len(rows))
        lines = -(-len(rows) // columns)
        figure = Figure(figsize=(7.2, 0.7 + lines * (0.75 + 0.3 * len(depths))), layout="constrained")
        for number, row in enumerate(rows, start=1):
            axes = figure.add_subplot(lines, columns, number)
            axes.set_title(_short(row.method, 44), fontsize=9.5, loc="left", color=INK)
            for cell in row.heat:
                x, y = lengths.index(cell.length), depths.index(cell.depth)
                share = cell.right / cell.asked
                color = (ACCENT, 0.06 + 0.8 * share)
                axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=color, lw=0))
                axes.text(x, y, f"{cell.right}/{cell.asked}", ha="center", va="center", fontsize=8, color=INK)
            axes.set_xticks(range(len(lengths)), [f"{length}" for length in lengths])
            axes.set_yticks(range(len(depths)), [f"{100 * depth:.0f} %" for depth in depths])
            axes.set_xlim(-0.5, len(lengths) - 0.5)
            axes.set_ylim(len(depths) - 0.5, -0.5)
            axes.tick_params(length=0)
            for spine in axes.spines.values():
                spine.set_visible(False)
        return _svg(figure, "Facts found, by depth in the text and length of the text")


def scores_by_length(survey: Survey) -> str:
    """Draw the mean score of every task and method against the length, as a file that stands alone."""
    colors = (INK, ACCENT, SECOND, THIRD, MUTED)
    styles = ("-", (0, (5, 3)), ":", "-.")
    methods = list(dict.fromkeys(row.method for row in survey.tasks))
    names = list(dict.fromkeys(row.task for row in survey.tasks))
    with mpl.rc_context(STYLE):
        figure, axes = _axes()
        for row in survey.tasks:
            axes.plot(
                list(row.scores),
                [found.value for found in row.scores.values()],
                color=colors[methods.index(row.method) % len(colors)],
                ls=styles[names.index(row.task) % len(styles)],
                marker="o",
                ms=4,
                label=f"{row.task}, {row.method}",
            )
        _trained(axes, survey.setting.trained_length)
        _context_axis(axes, survey.setting.lengths)
        axes.set_xlabel("length, tokens")
        axes.set_ylabel("score")
        axes.set_ylim(-0.03, 1.03)
        _legend(axes)
        return standalone(_svg(figure, "Score against length"))


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, 3.9), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return figure, axes


def _colored(summary: Summary) -> list[tuple[MethodRow, str]]:
    """The methods that did not fail, with their colors; the winner's is the accent, and it is drawn last."""
    winner = summary.winner
    fixed = {TRUNCATION: INK, PLAIN: MUTED, winner: ACCENT}
    spare = [color for color in (ACCENT, SECOND, THIRD) if winner is None or color != ACCENT]
    found = [(row, fixed.get(row.method) or (spare.pop(0) if spare else MUTED)) for row in summary.measured]
    return sorted(found, key=lambda pair: pair[0].method == winner)


def _name(row: MethodRow, summary: Summary) -> str:
    return row.method + documents_if_fewer(row, summary.setting)


def _trained(axes: Axes, trained: int) -> None:
    axes.axvline(trained, color=MUTED, lw=1, ls=":")
    axes.annotate(
        f"trained length {trained}", (trained, 1), xycoords=("data", "axes fraction"), xytext=(4, -10),
        textcoords="offset points", fontsize=9, color=MUTED,
    )  # fmt: skip


def _context_axis(axes: Axes, contexts: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(contexts, [str(context) for context in contexts])
    axes.minorticks_off()
    axes.set_xlabel("context, tokens")


def _limit(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    room = max(0.05 * (high - low), 1e-3)
    axes.set_ylim(low - room, high + 3 * room)


def _ends(estimates: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    """Lower and upper ends of intervals; the value itself where one document says nothing about others."""
    lower = [estimate.value if isinf(estimate.low) else estimate.low for estimate in estimates]
    upper = [estimate.value if isinf(estimate.high) else estimate.high for estimate in estimates]
    return lower, upper


def _distances(estimates: Sequence[Estimate]) -> list[list[float]]:
    """How far the lower and the upper ends lie from the values."""
    return [[abs(end - each.value) for each, end in zip(estimates, ends, strict=True)] for ends in _ends(estimates)]


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    labels = [_short(label, 60) for label in labels]
    columns = 2 if max(map(len, labels)) <= LABEL else 1
    position = {"loc": "outside upper left", "ncols": columns, "fontsize": 9, "handlelength": 1.6}
    axes.figure.legend(handles, labels, **position)


def _short(text: str, size: int) -> str:
    text = re.sub(r"\(trained_length=\d+\)|, theta=[\d.e+]+|theta=[\d.e+]+, ", "", text)
    return text if len(text) <= size else text[: size - 1] + "…"


def _svg(figure: Figure, title: str) -> str:
    """The figure as an element that scales with the page."""
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
