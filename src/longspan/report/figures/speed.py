"""Quality against speed: what does a better answer cost in time?"""

import matplotlib as mpl

from longspan.measure.models.model import PLAIN
from longspan.report.figures.canvas import (
    INK,
    STYLE,
    above,
    bars,
    both_ends,
    drawing,
    fit,
    point_above,
    put_legend,
    svg,
)  # fmt: skip
from longspan.report.figures.rows import gain, looks, name, whose
from longspan.study.summary import Summary


def quality_by_speed(summary: Summary) -> str:
    """Draw the facts found beyond the trained length, and below it the loss, against the time of one reading.

    Both have 95 % intervals over documents; the loss is the paired difference to the baseline's.
    """
    with mpl.rc_context(STYLE):
        length = summary.setting.length
        rows = looks(summary)
        figure, (facts, loss) = drawing([name(row, summary) for row, _ in rows], panels=2)
        for axes in (facts, loss):
            axes.set_xlim(0, 1.12 * max(row.seconds for row, _ in rows))
        facts.set_ylim(-3, 103)
        gains = {row.method: found for row, _ in rows if (found := gain(row, summary)) is not None}
        methods = [found for method, found in gains.items() if method != PLAIN]
        fit(loss, [0.0, *both_ends(methods)], both_ends([gains[PLAIN]] if PLAIN in gains else []))
        loss.axhline(0, color=INK, ls=(0, (5, 3)), lw=1.2)
        for row, look in rows:
            marked = {"color": look.color, "fmt": look.marker, "ms": 5, "lw": 1.3, "capsize": 2}
            share = [[100 * distance for distance in side] for side in bars([row.beyond])]
            facts.errorbar([row.seconds], [100 * row.beyond.value], yerr=share, label=name(row, summary), **marked)
            if row.method == summary.baseline:
                loss.plot([row.seconds], [0.0], color=look.color, marker=look.marker, ms=5, lw=0)
            elif found := gains.get(row.method):
                if above(loss, [row.seconds], both_ends([found])[-1:]):
                    point_above(loss, [(row.seconds, found.value)], look, row.method)
                else:
                    loss.errorbar([row.seconds], [found.value], yerr=bars([found]), **marked)
        facts.set_ylabel("facts found, %")
        facts.tick_params(labelbottom=False)
        loss.set_ylabel(f"loss minus\n{whose(summary)}, nats")
        loss.set_xlabel(f"seconds for one text of {length} tokens")
        put_legend(facts)
        return svg(figure, "Facts found and loss, against seconds per text")
