"""Quality against speed: what does a better answer cost in time?"""

import matplotlib as mpl

from longspan.measure.model import PLAIN
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
from longspan.report.figures.rows import looks, name
from longspan.study.summary import Summary


def quality_by_speed(summary: Summary) -> str:
    """Draw the facts found beyond the trained length, and below it the loss, against the time of one reading.

    Both have 95 % intervals over documents; the loss is the paired difference to truncation's.
    """
    with mpl.rc_context(STYLE):
        length = summary.setting.length
        rows = looks(summary)
        figure, (facts, loss) = drawing([name(row, summary) for row, _ in rows], panels=2)
        for axes in (facts, loss):
            axes.set_xlim(0, 1.12 * max(row.seconds for row, _ in rows))
        facts.set_ylim(-3, 103)
        gains = {
            row.method: row.loss_minus_truncation[length] for row, _ in rows if length in row.loss_minus_truncation
        }
        methods = [gain for method, gain in gains.items() if method != PLAIN]
        fit(loss, [0.0, *both_ends(methods)], both_ends([gains[PLAIN]] if PLAIN in gains else []))
        loss.axhline(0, color=INK, ls=(0, (5, 3)), lw=1.2)
        for row, look in rows:
            marked = {"color": look.color, "fmt": look.marker, "ms": 5, "lw": 1.3, "capsize": 2}
            share = [[100 * distance for distance in side] for side in bars([row.beyond])]
            facts.errorbar([row.seconds], [100 * row.beyond.value], yerr=share, label=name(row, summary), **marked)
            if gain := gains.get(row.method):
                if outside := above(loss, [row.seconds], [gain.high if gain.documents > 1 else gain.value]):
                    point_above(loss, [(outside[0][0], gain.value)], look, row.method)
                else:
                    loss.errorbar([row.seconds], [gain.value], yerr=bars([gain]), **marked)
        facts.set_ylabel("facts found, %")
        facts.tick_params(labelbottom=False)
        loss.set_ylabel("loss minus\ntruncation's, nats")
        loss.set_xlabel(f"seconds for one text of {length} tokens")
        put_legend(facts)
        return svg(figure, "Facts found and loss, against seconds per text")
