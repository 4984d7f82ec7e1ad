"""Curves of trained designs: loss, or the share that is right, by length; every seed is a mark, their mean a line."""

from collections.abc import Sequence

import matplotlib as mpl

from longspan.measure.models.model import PLAIN
from longspan.report.figures.canvas import SPARE, STYLE, drawing, mark_trained, put_legend, svg, token_axis, wrapped
from longspan.train.comparison import Outcome, Row

STYLES = ("-", (0, (5, 3)), ":", "-.")


def curves(rows: Sequence[Row], lengths: Sequence[int], trained: int) -> str:
    """Draw the designs themselves, without methods at test.

    Arguments:
        rows: of the table.
        lengths: tested.
        trained: the trained length, in the unit of the lengths.
    """
    shown = [row for row in rows if row.method == PLAIN and any(_values(each) for each in row.outcomes)]
    whole = any(each.whole for row in shown for each in row.outcomes)
    names = [wrapped(row.design + ("" if row.learned else " (not trained)")) for row in shown]
    with mpl.rc_context(STYLE):
        figure, (axes,) = drawing(names)
        token_axis(axes, lengths, "length, symbols" if whole else "length, tokens")
        for number, (row, name) in enumerate(zip(shown, names, strict=True)):
            look, style = SPARE[number % len(SPARE)], STYLES[number // len(SPARE) % len(STYLES)]
            seeds = [_values(outcome) for outcome in row.outcomes]
            common = [n for n in lengths if all(n in values for values in seeds)]
            means = [sum(values[n] for values in seeds) / len(seeds) for n in common]
            axes.plot(common, means, color=look.color, marker=look.marker, ms=4, lw=1.4, ls=style, label=name)
            for values in seeds if len(seeds) > 1 else ():
                axes.plot(
                    list(values), list(values.values()), color=look.color, marker=look.marker, ms=2.5, lw=0, alpha=0.5
                )
        if whole:
            axes.set_ylim(-0.03, 1.03)
        mark_trained(axes, trained)
        axes.set_ylabel("whole answers that are right" if whole else "loss, nats per token")
        put_legend(axes)
        return svg(figure, "Designs by length")


def _values(outcome: Outcome) -> dict[int, float]:
    """What is drawn of one seed, by length."""
    return {n: share.value for n, share in outcome.whole.items()} or dict(outcome.loss)
