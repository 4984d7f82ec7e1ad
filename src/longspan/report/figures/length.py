"""Scores and losses of a survey against the length of the text."""

import matplotlib as mpl

from longspan.report.figures.canvas import SPARE, STYLE, drawing, mark_trained, put_legend, svg, token_axis, wrapped
from longspan.survey.summary import Survey

STYLES = ("-", (0, (5, 3)), ":", "-.")


def several_lengths(survey: Survey) -> bool:
    """Whether any task was scored at more than one length: one point makes no curve."""
    return any(len(row.scores) > 1 for row in survey.tasks)


def scores_by_length(survey: Survey) -> str:
    """Draw the mean score of every task and method against the length."""
    methods = list(dict.fromkeys(row.method for row in survey.tasks))
    tasks = list(dict.fromkeys(row.task for row in survey.tasks))
    names = {(row.task, row.method): wrapped(f"{row.task}, {row.method}") for row in survey.tasks if row.scores}
    with mpl.rc_context(STYLE):
        figure, (axes,) = drawing(list(names.values()))
        token_axis(axes, survey.setting.lengths, "length, tokens")
        axes.set_ylim(-0.03, 1.03)
        for row in survey.tasks:
            if row.scores:
                look = SPARE[methods.index(row.method) % len(SPARE)]
                axes.plot(
                    list(row.scores), [found.value for found in row.scores.values()], color=look.color,
                    marker=look.marker, ls=STYLES[tasks.index(row.task) % len(STYLES)], ms=4, lw=1.4,
                    label=names[row.task, row.method],
                )  # fmt: skip
        mark_trained(axes, survey.setting.trained_length)
        axes.set_ylabel("score")
        put_legend(axes)
        return svg(figure, "Score against length")
