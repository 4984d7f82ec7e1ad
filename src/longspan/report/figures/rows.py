"""The rows of a study as figures draw them: name, look, and order."""

from longspan.measure.models.model import PLAIN
from longspan.measure.statistics.interval import Estimate
from longspan.report.figures.canvas import ACCENT, INK, MUTED, SPARE, Look, wrapped
from longspan.report.words import documents_if_fewer
from longspan.study.planning.cells import TRUNCATION
from longspan.study.summary import MethodRow, Summary


def looks(summary: Summary) -> list[tuple[MethodRow, Look]]:
    """The methods that did not fail, with their looks; the winner has the accent and is drawn last."""
    winner = summary.winner
    fixed = {TRUNCATION: Look(INK, "*"), PLAIN: Look(MUTED, "^"), winner: Look(ACCENT, "o")}
    others = [row.method for row in summary.measured if row.method not in fixed]
    spare = [look for look in SPARE if winner is None or look.color != ACCENT]
    fixed |= {method: spare[number % len(spare)] for number, method in enumerate(others)}
    return sorted([(row, fixed[row.method]) for row in summary.measured], key=lambda pair: pair[0].method == winner)


def gain(row: MethodRow, summary: Summary) -> Estimate | None:
    """Return a row's loss at the wanted length minus the baseline's; None for the baseline and where it is unknown."""
    if row.method == summary.baseline:
        return None
    if summary.baseline == TRUNCATION:
        return row.loss_minus_truncation.get(summary.setting.length)
    contrast = row.contrast(summary.baseline)
    return contrast and contrast.loss


def whose(summary: Summary) -> str:
    """Return whose loss is subtracted, as the end of a label."""
    return "truncation’s" if summary.baseline == TRUNCATION else "the plain model’s"


def name(row: MethodRow, summary: Summary) -> str:
    """A row's whole name, and on how many documents it is based where that is not all."""
    return wrapped(summary.name(row.method) + documents_if_fewer(row, summary.setting))
