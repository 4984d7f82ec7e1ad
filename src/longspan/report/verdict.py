"""The verdict in plain words."""

from collections.abc import Mapping
from typing import Any

from longspan.measure.verdict import FEWEST_DOCUMENTS

TRUNCATION, PLAIN = "truncation", "plain"


def verdict(summary: Mapping[str, Any]) -> str:
    """A headline and what it stands on, as a few lines of text."""
    return "\n".join([headline(summary), *grounds(summary)])


def headline(summary: Mapping[str, Any]) -> str:
    """One sentence."""
    length = summary["setting"]["length"]
    if summary["winner"]:
        return f"Use {summary['winner']} to read {length} tokens."
    if not summary["judged"]:
        documents = len(summary["setting"]["documents"])
        if documents < FEWEST_DOCUMENTS:
            return f"No verdict: {documents} documents were judged, at least {FEWEST_DOCUMENTS} are needed."
        return "No verdict: the plain model failed."
    return f"Nothing beats truncation here: keep the last {summary['setting']['trained_length']} tokens."


def grounds(summary: Mapping[str, Any]) -> list[str]:
    """What the headline stands on, a sentence each."""
    rows = {row["method"]: row for row in summary["methods"]}
    setting = summary["setting"]
    length, trained, documents = str(setting["length"]), setting["trained_length"], len(setting["documents"])
    lines = []
    for name, row in rows.items():
        if row["failed"]:
            lines.append(f"{name} failed: {row['failed']}.")
    plain, cut = rows[PLAIN], rows[TRUNCATION]
    if plain["failed"] or cut["failed"]:
        return lines
    best = rows.get(summary["winner"] or "")
    if best is None:
        judged = [row for row in summary["methods"] if "gain" in row]
        lines += [f"{row['method']}: {_against(row, length, trained)}" for row in judged]
    else:
        lines.append(_against(best, length, trained).capitalize())
        lines.append(
            f"Facts more than {trained} tokens back: {percent(best['beyond'])} found, {percent(cut['beyond'])} by "
            f"truncation, {percent(plain['beyond'])} by the plain model{few(plain, setting)}; chance is 25 %."
        )
        lines.append(f"On texts of up to {trained} tokens its loss changes by {nats(best['price'])} nats per token.")
    lines.append(
        f"The plain model's loss at {length} tokens is {nats(plain['loss_minus_truncation'][length])} against "
        f"truncation's{few(plain, setting)}. {documents} documents; 95 % intervals over documents in brackets."
    )
    return lines


def few(row: Mapping[str, Any], setting: Mapping[str, Any]) -> str:
    """On how many documents a row stands, where that is not all that were judged."""
    count = row["beyond"]["documents"]
    return "" if count == len(setting["documents"]) else f" ({count} documents)"


def _against(row: Mapping[str, Any], length: str, trained: int) -> str:
    gain = row["gain"]
    sure = "" if row["beats_in_loss"] or (gain["low"] or 0) > 0 else ", which is no sure difference"
    return f"its loss at {length} tokens differs from truncation's by {nats(gain)} nats{sure}."


def nats(estimate: Mapping[str, Any]) -> str:
    """A difference in nats with its interval.

    >>> nats({"value": -0.1234, "low": -0.2, "high": -0.05})
    '−0.123 [−0.200, −0.050]'
    """
    return f"{signed(estimate['value'])} {interval(estimate, signed)}"


def percent(estimate: Mapping[str, Any]) -> str:
    """A share with its interval.

    >>> percent({"value": 0.5, "low": 0.25, "high": 0.75})
    '50 % [25, 75]'
    """
    return f"{100 * estimate['value']:.0f} % {interval(estimate, lambda value: f'{100 * value:.0f}')}"


def interval(estimate: Mapping[str, Any], number: Any) -> str:
    """The two ends; ∞ where one document says nothing about others."""
    ends = (estimate["low"], estimate["high"])
    return "[" + ", ".join("∞" if end is None else number(end) for end in ends) + "]"


def signed(value: float) -> str:
    """With its sign, and a true minus."""
    return f"{value:+.3f}".replace("-", "−")
