"""The verdict in plain words."""

from collections.abc import Callable
from math import isinf

from longspan.measure.interval import Estimate
from longspan.measure.model import PLAIN
from longspan.study.decision import FEWEST_DOCUMENTS, Assessment
from longspan.study.summary import MethodRow, Setting, Summary

NOTHING = 0.0005
"""Nats that three decimals do not show."""


def verdict(summary: Summary) -> str:
    """Return a headline and its reasons, as a few lines of text."""
    return "\n".join([headline(summary), *grounds(summary)])


def headline(summary: Summary) -> str:
    """Return the verdict in one sentence."""
    length, trained = summary.setting.length, summary.setting.trained_length
    if summary.winner:
        return f"Use {summary.winner} to read {length} tokens."
    if not summary.judged:
        documents = len(summary.setting.documents)
        if documents < FEWEST_DOCUMENTS:
            were = "document was" if documents == 1 else "documents were"
            return f"No verdict: {documents} {were} judged, at least {FEWEST_DOCUMENTS} are needed."
        return "No verdict: the plain model failed."
    if any(assessment.beats for _, assessment in _compared(summary)):
        return f"Nothing is worth its cost on short texts here: keep the last {trained} tokens."
    return f"Nothing beats truncation here: keep the last {trained} tokens."


def bargain(summary: Summary) -> list[str]:
    """Return what the method to use gains and what it costs, a sentence each; empty where there is none."""
    best, truncation = summary.row(summary.winner), summary.truncation
    if best is None or best.assessment is None or truncation is None:
        return []
    finds = _finds(best, best.assessment, truncation, summary.setting)
    short = _short_texts(best.assessment, summary.setting)
    return [f"It {finds}.", f"It {_fluency(best.assessment.gain)}.", f"{short[0].upper()}{short[1:]}."]


def grounds(summary: Summary) -> list[str]:
    """Return the reasons for the headline, a sentence each."""
    setting = summary.setting
    length, trained, documents = setting.length, setting.trained_length, len(setting.documents)
    lines = [f"{row.method} failed: {row.failed}." for row in summary.failures]
    plain, truncation = summary.row(PLAIN), summary.truncation
    if plain is None or truncation is None:
        return lines
    compared = _compared(summary)
    if summary.winner:
        lines += bargain(summary)
        lines += [_tie(row, row.assessment) for row in map(summary.row, summary.tied) if row and row.assessment]
    else:
        lines += [
            f"{row.method} {_finds(row, assessment, truncation, setting)}; it {_fluency(assessment.gain)}; "
            f"{_short_texts(assessment, setting)}."
            for row, assessment in compared
        ]
    lines.append(
        f"The plain model{documents_if_fewer(plain, setting)} finds {percent(plain.beyond)} of the facts beyond "
        f"{trained} tokens and {_fluency(plain.loss_minus_truncation[length])}."
    )
    lines.append(
        f"Fluency is the loss on the last {setting.tail} of {length} tokens, against truncation, which reads only "
        f"the last {trained}. Guessing finds 25 % of the facts. {documents} document{'s' if documents > 1 else ''}; "
        "95 % intervals over documents in brackets."
    )
    return lines


def _compared(summary: Summary) -> list[tuple[MethodRow, Assessment]]:
    """The methods that were compared with truncation."""
    return [(row, row.assessment) for row in summary.measured if row.assessment is not None]


def _finds(row: MethodRow, assessment: Assessment, truncation: MethodRow, setting: Setting) -> str:
    unsure = "" if _sign(assessment.retrieval) else " (no sure difference)"
    return (
        f"finds {percent(row.beyond)} of the facts that lie more than {setting.trained_length} tokens "
        f"back, truncation {percent(truncation.beyond)}{unsure}"
    )


def _fluency(gain: Estimate) -> str:
    """What a loss above truncation's costs, or one below it gains.

    >>> _fluency(Estimate(0.142, 0.046, 0.238, 8))
    'costs 0.142 [0.046, 0.238] nats per token of fluency'
    >>> _fluency(Estimate(-0.1, -0.2, -0.05, 8))
    'gains 0.100 [0.050, 0.200] nats per token of fluency'
    >>> _fluency(Estimate(-0.1, float("-inf"), float("inf"), 1))
    'shows no sure difference in fluency (loss −0.100 [∞, ∞] nats per token against truncation)'
    """
    sign = _sign(gain)
    if not sign:
        return f"shows no sure difference in fluency (loss {nats(gain)} nats per token against truncation)"
    return f"{'costs' if sign > 0 else 'gains'} {_size(gain)} nats per token of fluency"


def _short_texts(assessment: Assessment, setting: Setting) -> str:
    price, where = assessment.price, f"on texts of up to {setting.trained_length} tokens"
    tolerance = "" if assessment.affordable else f", more than the tolerance of {setting.tolerance:g}"
    if max(abs(price.low), abs(price.high)) < NOTHING:
        return f"{where} it costs nothing"
    if sign := _sign(price):
        return f"{where} it {'costs' if sign > 0 else 'gains'} {_size(price)} nats per token{tolerance}"
    return f"{where} it shows no sure cost ({nats(price)} nats per token{tolerance})"


def _tie(row: MethodRow, assessment: Assessment) -> str:
    return (
        f"{row.method} is as fluent within chance (loss {nats(assessment.gain)} nats per token against truncation) and "
        f"finds {percent(row.beyond)} of those facts."
    )


def documents_if_fewer(row: MethodRow, setting: Setting) -> str:
    """Return on how many documents a row is based, where that is not all that were judged on."""
    count = row.beyond.documents
    return "" if count == len(setting.documents) else f" ({count} documents)"


def nats(estimate: Estimate) -> str:
    """Return a difference in nats with its interval.

    >>> nats(Estimate(-0.1234, -0.2, -0.05, 8))
    '−0.123 [−0.200, −0.050]'
    """
    return f"{signed(estimate.value)} {interval(estimate, signed)}"


def percent(estimate: Estimate) -> str:
    """Return a share with its interval.

    >>> percent(Estimate(0.5, 0.25, 0.75, 8))
    '50 % [25, 75]'
    """
    return f"{100 * estimate.value:.0f} % {interval(estimate, lambda value: f'{100 * value:.0f}')}"


def interval(estimate: Estimate, number: Callable[[float], str]) -> str:
    """Return the two ends; ∞ where one document says nothing about others."""
    return "[" + ", ".join("∞" if isinf(end) else number(end) for end in (estimate.low, estimate.high)) + "]"


def signed(value: float) -> str:
    """Return a number with its sign, and a true minus."""
    return f"{value:+.3f}".replace("-", "−")


def _sign(estimate: Estimate) -> int:
    """1 or −1 where the interval excludes 0, else 0."""
    return int(estimate.above_zero) - int(estimate.below_zero)


def _size(estimate: Estimate) -> str:
    """A difference whose interval excludes 0, without its sign."""
    value, low, high = abs(estimate.value), abs(estimate.low), abs(estimate.high)
    return f"{value:.3f} [{min(low, high):.3f}, {max(low, high):.3f}]"
