"""The judged methods as a Markdown table."""

from collections.abc import Mapping
from typing import Any

from longspan.report.verdict import TRUNCATION, few, nats, percent


def table(summary: Mapping[str, Any]) -> str:
    """One row per method: the loss it gains, what it finds, what it costs."""
    setting = summary["setting"]
    head = (
        "method",
        f"fluency: loss at {setting['length']} minus truncation's, nats",
        f"facts beyond {setting['trained_length']} tokens found",
        "cost on short texts, nats",
        "tokens/s",
    )
    lines = [_line(head), _line(["---"] * len(head))]
    for row in summary["methods"]:
        name = f"`{row['method']}`"
        if row["failed"]:
            lines.append(_line([name, f"failed: {row['failed']}", "", "", ""]))
            continue
        name += few(row, setting)
        winner = row["method"] == summary["winner"]
        gain = row["loss_minus_truncation"][str(setting["length"])]
        lines.append(
            _line(
                [
                    f"**{name}**" if winner else name,
                    "to beat" if row["method"] == TRUNCATION else nats(gain),
                    percent(row["beyond"]),
                    nats(row["price"]) if "price" in row else "0",
                    f"{row['tokens_per_second']:,.0f}" if "tokens_per_second" in row else "",
                ]
            )
        )
    return "\n".join(lines)


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
