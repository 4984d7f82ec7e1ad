"""Figures by context: does it help to read more of what comes before the same last tokens?"""

import matplotlib as mpl

from longspan.measure.models.model import PLAIN
from longspan.report.figures.canvas import (
    INK,
    STYLE,
    above,
    bars,
    both_ends,
    drawing,
    ends,
    fit,
    mark_trained,
    point_above,
    put_legend,
    svg,
    token_axis,
    within,
)  # fmt: skip
from longspan.report.figures.rows import looks, name
from longspan.study.planning.cells import TRUNCATION
from longspan.study.summary import Summary

TO_BEAT = "truncation, to beat"


def several_contexts(summary: Summary) -> bool:
    """Whether any line of the figures by context has more than one point; truncation's is level anyway."""
    return any(len(row.loss) > 1 for row in summary.measured if row.method != TRUNCATION)


def loss_by_context(summary: Summary) -> str:
    """Draw the loss of the same last tokens against the context they see, with truncation as the line to beat.

    The axis fits the methods; a plain model that is far worse leaves the figure, which says so.
    """
    with mpl.rc_context(STYLE):
        rows = looks(summary)
        figure, (axes,) = drawing([name(row, summary) for row, _ in rows])
        token_axis(axes, summary.setting.contexts, "context, tokens")
        values = {row.method: [estimate.value for estimate in row.loss.values()] for row, _ in rows}
        fit(axes, [value for method in values if method != PLAIN for value in values[method]], values.get(PLAIN, []))
        for row, look in rows:
            if row.method == TRUNCATION:
                axes.axhline(values[TRUNCATION][-1], color=look.color, ls=(0, (5, 3)), lw=1.2, label=TO_BEAT)
                continue
            axes.plot(
                list(row.loss), within(axes, values[row.method]), color=look.color, marker=look.marker, ms=4, lw=1.6,
                label=name(row, summary),
            )  # fmt: skip
            point_above(axes, above(axes, list(row.loss), values[row.method]), look, row.method)
        mark_trained(axes, summary.setting.trained_length)
        axes.set_ylabel("loss, nats per token")
        put_legend(axes)
        return svg(figure, "Loss of the same last tokens against context")


def gain_by_context(summary: Summary) -> str:
    """Draw paired differences to truncation's loss, with 95 % intervals over documents.

    The axis fits the methods; a plain model that is far worse leaves the figure, which says so.
    """
    with mpl.rc_context(STYLE):
        rows = [(row, look) for row, look in looks(summary) if row.method != TRUNCATION and row.loss_minus_truncation]
        figure, (axes,) = drawing([name(row, summary) for row, _ in rows])
        token_axis(axes, summary.setting.contexts, "context, tokens")
        found = {row.method: list(row.loss_minus_truncation.values()) for row, _ in rows}
        methods = [each for method in found if method != PLAIN for each in found[method]]
        fit(axes, [0.0, *both_ends(methods)], both_ends(found.get(PLAIN, [])))
        axes.axhline(0, color=INK, ls=(0, (5, 3)), lw=1.2)
        for number, (row, look) in enumerate(rows):
            shift = 2 ** (0.07 * (number - (len(rows) - 1) / 2))
            places = [context * shift for context in row.loss_minus_truncation]
            points = list(zip(places, found[row.method], strict=True))
            shown = [(x, each) for x, each in points if ends([each])[1][0] <= axes.get_ylim()[1]]
            axes.errorbar(
                [x for x, _ in shown], [each.value for _, each in shown], yerr=bars([each for _, each in shown]),
                color=look.color, fmt=f"{look.marker}-", ms=4, lw=1.3, capsize=2, label=name(row, summary),
            )  # fmt: skip
            left_out = [(x, each.value) for x, each in points if (x, each) not in shown]
            point_above(axes, left_out, look, row.method)
        axes.set_ylabel("loss minus truncation’s, nats")
        put_legend(axes)
        return svg(figure, "Paired difference to truncation, with 95 % intervals")
