"""Loss by position in the text: where does a method break?"""

from math import nan

import matplotlib as mpl

from longspan.measure.models.model import PLAIN
from longspan.report.figures.canvas import (
    STYLE,
    above,
    drawing,
    fit,
    mark_trained,
    point_above,
    put_legend,
    svg,
    within,
)
from longspan.report.figures.rows import looks, name
from longspan.study.summary import Summary


def loss_by_position(summary: Summary) -> str:
    """Draw the loss by position in the text, with the trained length marked.

    The axis fits the methods; a plain model that is far worse leaves the figure, which says so.
    """
    with mpl.rc_context(STYLE):
        length = summary.setting.length
        rows = [(row, look, row.whole) for row, look in looks(summary) if row.whole is not None]
        figure, (axes,) = drawing([name(row, summary) for row, _, _ in rows])
        axes.set_xlim(0, length)
        curves = {row.method: [nan if value is None else value for value in whole.positions] for row, _, whole in rows}
        fit(axes, [value for method in curves if method != PLAIN for value in curves[method]], curves.get(PLAIN, []))
        for row, look, _ in rows:
            values = curves[row.method]
            middles = [(part + 0.5) * length / len(values) for part in range(len(values))]
            axes.plot(middles, within(axes, values), color=look.color, lw=1.2, label=name(row, summary))
            point_above(axes, above(axes, middles, values), look, row.method)
        mark_trained(axes, summary.setting.trained_length)
        axes.set_xlabel("position, tokens")
        axes.set_ylabel("loss, nats per token")
        put_legend(axes)
        return svg(figure, "Loss by position")
