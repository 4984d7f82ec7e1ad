"""The verdict in plain words."""

from collections.abc import Mapping
from typing import Any

from longspan.study.decision import FEWEST_DOCUMENTS

TRUNCATION, PLAIN = "truncation", "plain"
NOTHING = 0.0005
"""Nats that three decimals do not show."""


def verdict(summary: Mapping[str, Any]) -> str:
    """A headline and what it stands on, as a few lines of text."""
    return "\n".join([headline(summary), *grounds(summary)])


def headline(summary: Mapping[str, Any]) -> str:
    """One sentence."""
    length, trained = summary["setting"]["length"], summary["setting"]["trained_length"]
    if summary["winner"]:
        return f"Use {summary['winner']} to read {length} tokens."
    if not summary["judged"]:
        documents = len(summary["setting"]["documents"])
        if documents < FEWEST_DOCUMENTS:
            were = "document was" if documents == 1 else "documents were"
            return f"No verdict: {documents} {were} judged, at least {FEWEST_DOCUMENTS} are needed."
        return "No verdict: the plain model failed."
    if any(row["beats_in_loss"] or row["beats_in_retrieval"] for row in _compared(summary)):
        return f"Nothing is worth its cost on short texts here: keep the last {trained} tokens."
    return f"Nothing beats truncation here: keep the last {trained} tokens."


def bargain(summary: Mapping[str, Any]) -> list[str]:
    """What the method to use gains and what it costs, a sentence each; empty where there is none."""
    rows = {row["method"]: row for row in summary["methods"]}
    best = rows.get(summary["winner"] or "")
    if best is None:
        return []
    short = _short_texts(best, summary["setting"])
    return [f"It {_finds(best, summary)}.", f"It {_fluency(best['gain'])}.", f"{short[0].upper()}{short[1:]}."]


def grounds(summary: Mapping[str, Any]) -> list[str]:
    """What the headline stands on, a sentence each."""
    rows = {row["method"]: row for row in summary["methods"]}
    setting = summary["setting"]
    length, trained, documents = setting["length"], setting["trained_length"], len(setting["documents"])
    lines = [f"{name} failed: {row['failed']}." for name, row in rows.items() if row["failed"]]
    plain, cut = rows[PLAIN], rows[TRUNCATION]
    if plain["failed"] or cut["failed"]:
        return lines
    if summary["winner"]:
        lines += bargain(summary)
        lines += [_tie(rows[name]) for name in summary.get("tied", ())]
    else:
        lines += [f"{row['method']} {_account(row, summary)}." for row in _compared(summary)]
    lines.append(
        f"The plain model{few(plain, setting)} finds {percent(plain['beyond'])} of the facts beyond {trained} tokens "
        f"and {_fluency(plain['loss_minus_truncation'][str(length)])}."
    )
    lines.append(
        f"Fluency is the loss on the last {setting['tail']} of {length} tokens, against truncation, which reads only "
        f"the last {trained}. Guessing finds 25 % of the facts. {documents} document{'s' if documents > 1 else ''}; "
        "95 % intervals over documents in brackets."
    )
    return lines


def _compared(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The methods that were compared with truncation."""
    return [row for row in summary["methods"] if "gain" in row]


def _account(row: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """Everything about a method that is not the one to use."""
    return f"{_finds(row, summary)}; it {_fluency(row['gain'])}; {_short_texts(row, summary['setting'])}"


def _finds(row: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    cut = next(other for other in summary["methods"] if other["method"] == TRUNCATION)
    unsure = "" if _sign(row["retrieval_gain"]) else " (no sure difference)"
    return (
        f"finds {percent(row['beyond'])} of the facts that lie more than {summary['setting']['trained_length']} tokens "
        f"back, truncation {percent(cut['beyond'])}{unsure}"
    )


def _fluency(gain: Mapping[str, Any]) -> str:
    """What a loss above truncation's costs, or one below it gains.

    >>> _fluency({"value": 0.142, "low": 0.046, "high": 0.238})
    'costs 0.142 [0.046, 0.238] nats per token of fluency'
    >>> _fluency({"value": -0.1, "low": -0.2, "high": -0.05})
    'gains 0.100 [0.050, 0.200] nats per token of fluency'
    >>> _fluency({"value": -0.1, "low": None, "high": None})
    'shows no sure difference in fluency (loss −0.100 [∞, ∞] nats per token against truncation)'
    """
    sign = _sign(gain)
    if not sign:
        return f"shows no sure difference in fluency (loss {nats(gain)} nats per token against truncation)"
    return f"{'costs' if sign > 0 else 'gains'} {_size(gain)} nats per token of fluency"


def _short_texts(row: Mapping[str, Any], setting: Mapping[str, Any]) -> str:
    price, where = row["price"], f"on texts of up to {setting['trained_length']} tokens"
    tolerance = "" if row["affordable"] else f", more than the tolerance of {setting['tolerance']:g}"
    if all(price[end] is not None and abs(price[end]) < NOTHING for end in ("low", "high")):
        return f"{where} it costs nothing"
    if sign := _sign(price):
        return f"{where} it {'costs' if sign > 0 else 'gains'} {_size(price)} nats per token{tolerance}"
    return f"{where} it shows no sure cost ({nats(price)} nats per token{tolerance})"


def _tie(row: Mapping[str, Any]) -> str:
    return (
        f"{row['method']} is as fluent within chance (loss {nats(row['gain'])} nats per token against truncation) and "
        f"finds {percent(row['beyond'])} of those facts."
    )


def few(row: Mapping[str, Any], setting: Mapping[str, Any]) -> str:
    """On how many documents a row stands, where that is not all that were judged."""
    count = row["beyond"]["documents"]
    return "" if count == len(setting["documents"]) else f" ({count} documents)"


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


def _sign(estimate: Mapping[str, Any]) -> int:
    """1 or −1 where the interval excludes 0, else 0."""
    low, high = estimate["low"], estimate["high"]
    return int(low is not None and low > 0) - int(high is not None and high < 0)


def _size(estimate: Mapping[str, Any]) -> str:
    """A difference of one sign, without it."""
    value, low, high = (abs(estimate[name]) for name in ("value", "low", "high"))
    return f"{value:.3f} [{min(low, high):.3f}, {max(low, high):.3f}]"


def interval(estimate: Mapping[str, Any], number: Any) -> str:
    """The two ends; ∞ where one document says nothing about others."""
    ends = (estimate["low"], estimate["high"])
    return "[" + ", ".join("∞" if end is None else number(end) for end in ends) + "]"


def signed(value: float) -> str:
    """With its sign, and a true minus."""
    return f"{value:+.3f}".replace("-", "−")
