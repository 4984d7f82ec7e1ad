"""The judged methods as a Markdown table."""

from collections.abc import Sequence

from longspan.report.figures.rows import gain
from longspan.report.words import CALLED, documents_if_fewer, nats, percent
from longspan.study.planning.cells import TRUNCATION
from longspan.study.summary import FailedRow, MethodRow, Summary


def table(summary: Summary) -> str:
    """Return one row per method: the loss it gains, what it finds, what it costs."""
    setting = summary.setting
    head = (
        "method",
        f"fluency: loss at {setting.length} minus {CALLED[summary.baseline]}'s, nats",
        f"facts beyond {setting.trained_length} tokens found" if summary.baseline == TRUNCATION else "facts found",
        "cost on short texts, nats",
        "tokens/s",
    )
    lines = [_line(head), _line(["---"] * len(head))]
    return "\n".join([*lines, *(_line(_cells(row, summary)) for row in summary.methods)])


def _cells(row: MethodRow | FailedRow, summary: Summary) -> Sequence[str]:
    name = f"`{summary.name(row.method)}`"
    if isinstance(row, FailedRow):
        return [name, f"failed: {row.failed}", "", "", ""]
    name += documents_if_fewer(row, summary.setting)
    found = gain(row, summary)
    return [
        f"**{name}**" if row.method == summary.winner else name,
        "to beat" if row.method == summary.baseline else nats(found) if found else "",
        percent(row.beyond),
        nats(row.assessment.price) if row.assessment else "0",
        f"{row.whole.tokens_per_second:,.0f}" if row.whole else "",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
