"""The verdict in plain words: a headline that hides no loss, every criterion, ties, and what was not decided."""

from collections.abc import Callable, Iterator, Sequence
from math import isinf

from longspan.measure.models.model import PLAIN
from longspan.measure.statistics.interval import Estimate
from longspan.study.contrast import Contrast, Criterion
from longspan.study.planning.cells import TRUNCATION
from longspan.study.summary import MethodRow, Setting, Summary
from longspan.study.verdict import Tie

NOTHING = 0.0005
"""Nats that three decimals do not show."""

SLOWER = 0.95
"""The share of the plain model's speed from which on a headline does not mention it."""

TAKEN = {
    "cost": "it has the lowest cost of them",
    "proof": "it has the lowest cost of those that surely are better than no method",
    "exportable": "it is taken because stock runtimes express it",
    "simplicity": "the simplest of those about as good is taken",
    None: "",
}
"""Why the winner was taken from its ties."""

CALLED = {TRUNCATION: "truncation", PLAIN: "the plain model"}


def verdict(summary: Summary) -> str:
    """Return a headline, warnings and reasons, as a few lines of text."""
    return "\n".join([headline(summary), *summary.warnings, *grounds(summary)])


def headline(summary: Summary) -> str:
    """Return what to do in one sentence, and in a second one what a method gains and pays."""
    length, trained = summary.setting.length, summary.setting.trained_length
    within = summary.baseline == PLAIN
    match summary.verdict.advice:
        case "method":
            assert summary.winner is not None
            return " ".join([f"Use {summary.name(summary.winner)} to read {length} tokens.", *trade(summary)])
        case "none":
            return " ".join([f"No full verdict: {summary.verdict.obstacle}.", *_leading(summary)])
        case "plain" if within:
            what = _but(summary) or f"beats the plain model within its trained length of {trained} tokens"
            return f"Nothing {what}: leave it as it is."
        case "plain":
            return f"This model reads {length} tokens already: leave it as it is."
        case "truncation":
            return f"Nothing {_but(summary) or 'beats truncation here'}: keep the last {trained} tokens."


def _leading(summary: Summary) -> list[str]:
    """What looks best where too few documents were judged for a verdict."""
    name = summary.verdict.leading
    if name is None:
        return []
    if name in CALLED:
        return [f"So far nothing is ahead of {CALLED[name]}."]
    return [f"So far {summary.name(name)} is ahead, which may be chance."]


def trade(summary: Summary) -> list[str]:
    """Return what the method to use surely gains and what it surely pays, in one sentence; empty where neither is."""
    best = summary.row(summary.winner)
    base = summary.row(summary.baseline)
    if best is None or base is None or (against := best.contrast(summary.baseline)) is None:
        return []
    gains = [_gain(criterion, against, best, base) for criterion in against.which("better")]
    losses = [_loss(criterion, against, best, base) for criterion in against.which("worse")]
    plain = best.contrast(PLAIN)
    if plain and plain.speed and plain.speed.high < 1 and plain.speed.value < SLOWER:
        losses.append(f"reads {plain.speed.value:.2f} times as fast as the plain model")
    gains, losses = [text for text in gains if text], [text for text in losses if text]
    said = "; it ".join(_and(each) for each in (gains, losses) if each)
    return [f"It {said}."] if said else []


def _gain(criterion: Criterion, against: Contrast, row: MethodRow, base: MethodRow) -> str:
    match criterion:
        case Criterion.LOSS:
            return f"gains {abs(against.loss.value):.3f} nats per token of fluency"
        case Criterion.FACTS:
            return f"finds {_percent(row)} of the far facts instead of {_percent(base)}"
        case Criterion.SHORT:
            return f"gains {abs(against.short.value):.3f} nats per token on short texts"
        case Criterion.SPEED:
            return ""


def _loss(criterion: Criterion, against: Contrast, row: MethodRow, base: MethodRow) -> str:
    match criterion:
        case Criterion.LOSS:
            return f"pays {abs(against.loss.value):.3f} nats per token of fluency"
        case Criterion.FACTS:
            return f"finds only {_percent(row)} of the far facts instead of {_percent(base)}"
        case Criterion.SHORT:
            return f"pays {abs(against.short.value):.3f} nats per token on short texts"
        case Criterion.SPEED:
            return ""


def grounds(summary: Summary) -> list[str]:
    """Return the reasons for the headline, a sentence each."""
    lines = [f"{summary.name(row.method)} failed: {row.failed}." for row in summary.failures]
    plain, winner = summary.row(PLAIN), summary.row(summary.winner)
    if plain is None or summary.row(summary.baseline) is None:
        return lines
    if winner is not None:
        lines += [*criteria(summary, winner), *_ties(summary)]
    else:
        methods = [row for row in summary.measured if row.method not in CALLED]
        lines += [f"{summary.name(row.method)}: {' '.join(criteria(summary, row))}" for row in methods]
    lines += [*_undecided(summary), *_exportable(summary)]
    if summary.baseline == TRUNCATION:
        lines.append(
            f"The plain model{documents_if_fewer(plain, summary.setting)}: {' '.join(criteria(summary, plain))}"
        )
    return [*lines, *_names(summary), *_written(summary), _footnote(summary)]


def criteria(summary: Summary, row: MethodRow) -> list[str]:
    """Return how a row compares with what needs no method: a sentence for each criterion."""
    setting = summary.setting
    against = {name: found for name in CALLED if (found := row.contrast(name)) is not None}
    facts = "facts" if summary.baseline == PLAIN else f"facts more than {setting.trained_length} tokens back"
    if not against:  # the plain model, where it is the baseline, or of an older summary
        gain = row.loss_minus_truncation.get(setting.length)
        loss = [] if gain is None else [f"Loss at {setting.length} tokens: {_nats(gain, CALLED[TRUNCATION])}."]
        return [f"Of {facts} it finds {percent(row.beyond)}.", *loss]
    lines = [
        f"Of {facts} it finds {percent(row.beyond)}: {_joined(_facts(summary, row, against))}.",
        f"Loss at {setting.length} tokens: {_joined(_nats(f.loss, CALLED[name]) for name, f in against.items())}.",
    ]
    if row.method != PLAIN:
        price = next(reversed(against.values())).short
        dear = f", more than the tolerance of {setting.tolerance:g}" if price.value > setting.tolerance else ""
        lines.append(
            f"Loss on texts of up to {setting.trained_length} tokens: {_nats(price, 'the plain model')}{dear}."
        )
    speeds = [_speed(found.speed, CALLED[name]) for name, found in against.items() if found.speed]
    if row.whole and speeds:
        lines.append(f"Speed: {row.whole.tokens_per_second:,.0f} tokens/s, {_joined(speeds)}.")
    return lines


def bargain(summary: Summary) -> list[str]:
    """Return how the method to use compares, a sentence for each criterion; empty where there is none."""
    best = summary.row(summary.winner)
    return [] if best is None else criteria(summary, best)


def _facts(summary: Summary, row: MethodRow, against: dict[str, Contrast]) -> Iterator[str]:
    for name, found in against.items():
        base, points = summary.row(name), f"{interval(found.facts, _points)} points"
        share = "" if base is None else f", which finds {_percent(base)}"
        if base is not None and base.documents != row.documents:
            share = f" on the {min(base.documents, row.documents)} documents that both have read{_there(found)}"
        outcome = found.outcome(Criterion.FACTS)
        if outcome == "the same":
            yield f"the same within chance as {CALLED[name]}{share} ({_points(found.facts.value)} {points})"
        else:
            yield f"{outcome} than {CALLED[name]}{share} ({_points(found.facts.value)} {points})"


def _there(found: Contrast) -> str:
    """The shares of a method and a baseline on the documents that both have read."""
    if found.shares is None:
        return ""
    return f", {100 * found.shares[0]:.0f} % against {100 * found.shares[1]:.0f} %"


def _nats(found: Estimate, base: str) -> str:
    """How a loss compares with a baseline's.

    >>> _nats(Estimate(0.142, 0.046, 0.238, 8), "truncation")
    'worse than truncation by 0.142 [0.046, 0.238] nats per token'
    >>> _nats(Estimate(-0.1, -0.2, -0.05, 8), "truncation")
    'better than truncation by 0.100 [0.050, 0.200] nats per token'
    >>> _nats(Estimate(-0.1, float("-inf"), float("inf"), 1), "truncation")
    'the same within chance as truncation (−0.100 [∞, ∞] nats per token)'
    """
    if max(abs(found.low), abs(found.high)) < NOTHING:
        return f"that of {base}"
    if found.low <= 0 <= found.high:
        return f"the same within chance as {base} ({nats(found)} nats per token)"
    value, low, high = abs(found.value), abs(found.low), abs(found.high)
    size = f"{value:.3f} [{min(low, high):.3f}, {max(low, high):.3f}]"
    return f"{'worse' if found.low > 0 else 'better'} than {base} by {size} nats per token"


def _speed(found: Estimate, base: str) -> str:
    """How fast a row reads a document, compared with a baseline.

    >>> _speed(Estimate(0.8, 0.7, 0.9, 8), "the plain model")
    'slower than the plain model (0.80 [0.70, 0.90] times as fast)'
    """
    outcome = "faster" if found.low > 1 else "slower" if found.high < 1 else "as fast within chance"
    than = "as" if outcome.startswith("as") else "than"
    return f"{outcome} {than} {base} ({found.value:.2f} {interval(found, lambda value: f'{value:.2f}')} times as fast)"


def _ties(summary: Summary) -> list[str]:
    """Who cannot be told apart from the winner, and why it was taken."""
    judged = [tie for tie in summary.verdict.ties if tie.judged and not tie.difference.below_zero]
    better = [tie for tie in summary.verdict.ties if tie.judged and tie.difference.below_zero]
    raced = [tie for tie in summary.verdict.ties if not tie.judged]
    taken = TAKEN[summary.verdict.chosen_by]
    lines = [f"{_all(summary, [tie])} is better than it{why_not(tie, summary)}." for tie in better]
    if judged:
        lines.append(f"{_all(summary, judged)} cannot be told apart from it{f'; {taken}' if taken else ''}.")
    elif summary.tied and not summary.verdict.ties:  # an older summary, which has no differences
        lines.append(f"{_and([summary.name(name) for name in summary.tied])} cannot be told apart from it in loss.")
    if raced:
        lines.append(f"Not decided, because the budget ended the race before they were sure: {_all(summary, raced)}.")
    return lines


def why_not(tie: Tie, summary: Summary) -> str:
    """Return why a method that is surely better than the winner was not taken, as the end of a sentence."""
    row = summary.row(tie.method)
    if row is not None and row.documents < len(summary.setting.documents):
        return f" on {row.documents} documents, too few to judge"
    return ", but not surely better than no method"


def _all(summary: Summary, ties: Sequence[Tie]) -> str:
    return _and([f"{summary.name(tie.method)} ({_cost(tie.difference)})" for tie in ties])


def _cost(difference: Estimate) -> str:
    """A difference in cost, with its documents where an interval says nothing."""
    if isinf(difference.low):
        return f"cost {signed(difference.value)} nats on one document"
    return f"cost {nats(difference)} nats"


def _undecided(summary: Summary) -> list[str]:
    """Candidates that did not race."""
    names = [summary.name(name) for name in summary.verdict.undecided]
    if not names:
        return []
    if (length := summary.race.entry_length) is not None:
        what = "race" if summary.race.rows else "be judged"
        return [f"Set aside after one text of {length} tokens, because the budget let only some {what}: {_and(names)}."]
    return [f"Not decided, because the budget left no time to read a text with them: {_and(names)}."]


def _exportable(summary: Summary) -> list[str]:
    """What stock runtimes may run, where that is not the winner."""
    method = summary.verdict.exportable
    row = summary.row(method)
    if method is None or row is None or method == summary.winner:
        return []
    few = documents_if_fewer(row, summary.setting)
    said = " ".join(criteria(summary, row)) if summary.winner else ""
    return [f"The best judged method that stock runtimes express is {summary.name(method)}{few}. {said}".rstrip()]


def _names(summary: Summary) -> list[str]:
    """What names that the user gave stand for, as far as they were used."""
    shown = {row.method for row in summary.methods} | {tie.method for tie in summary.verdict.ties}
    shown |= set(summary.verdict.undecided)
    return [f"{name} is {text} here." for text, name in summary.names.items() if text in shown]


def _written(summary: Summary) -> list[str]:
    """Why a model was written against the advice."""
    if summary.model is None or summary.written is None or summary.written == summary.winner:
        return []
    return [
        f"A model with {summary.name(summary.written)} was written all the same, because methods were named; it has "
        "the lowest cost of them."
    ]


def _footnote(summary: Summary) -> str:
    setting, documents = summary.setting, len(summary.setting.documents)
    cut = f", and truncation reads only the last {setting.trained_length}" if summary.baseline == TRUNCATION else ""
    return (
        f"Loss is that of the last {setting.tail} of {setting.length} tokens{cut}. Guessing finds 25 % of the facts. "
        f"Cost is loss minus the share of facts found. {documents} document{'s' if documents > 1 else ''}; 95 % "
        "intervals over documents in brackets."
    )


def _but(summary: Summary) -> str:
    """What nothing is, where a method beats the baseline and is not taken all the same; empty where none beats it."""
    setting, base = summary.setting, CALLED[summary.baseline]
    methods = [row for row in summary.measured if row.method not in CALLED and _beats(row, summary.baseline)]
    affordable = [row for row in methods if _price(row, summary.baseline) <= setting.tolerance]
    if any(row.documents == len(setting.documents) for row in affordable):  # a verdict of an older version
        return "" if base == CALLED[PLAIN] else f"that beats {base} is surely better than the plain model too"
    if affordable:
        return f"that was judged on all {len(setting.documents)} documents beats {base}"
    return "is worth its cost on short texts here" if methods else ""


def _price(row: MethodRow, baseline: str) -> float:
    """What a method costs on short texts, nats per token."""
    against = row.contrast(baseline)
    return 0.0 if against is None else against.short.value


def _beats(row: MethodRow, baseline: str) -> bool:
    """Whether a method surely beats a baseline; in older summaries, in loss or in facts."""
    against = row.contrast(baseline)
    if against is None or against.cost is None:
        return row.assessment is not None and row.assessment.beats
    return against.cost.below_zero


def _percent(row: MethodRow) -> str:
    return f"{100 * row.beyond.value:.0f} %"


def _points(value: float) -> str:
    return f"{100 * value:+.0f}".replace("-", "−")


def _joined(parts: Iterator[str] | Sequence[str]) -> str:
    return "; ".join(parts)


def _and(names: Sequence[str]) -> str:
    """Join names.

    >>> _and(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def documents_if_fewer(row: MethodRow, setting: Setting) -> str:
    """Return on how many documents a row is based, where that is not all that were judged on."""
    count = row.documents
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
