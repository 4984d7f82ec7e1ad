from longspan.study.decision import Scores, assess, tied

NOISE = [0.01, -0.02, 0.0, 0.02, -0.01, 0.015, -0.015, 0.005]
PLAIN_SHORT = [3.0 + n for n in NOISE]
TRUNCATION = Scores([3.0 + n for n in NOISE], [], [0.25] * 8)


def method(loss: float, short: float = 3.0, beyond: float = 0.25, wobble: float = 1.0) -> Scores:
    """Its differences to the baselines vary a little between documents."""
    noise = [n + wobble * m / 2 for n, m in zip(NOISE, reversed(NOISE), strict=True)]
    return Scores([loss + n for n in noise], [short + n for n in NOISE], [beyond + n for n in noise])


def ranked(**methods: Scores) -> list[str]:
    return tied(methods, {name: assess(scores, PLAIN_SHORT, TRUNCATION) for name, scores in methods.items()})


def best(**methods: Scores) -> str | None:
    return next(iter(ranked(**methods)), None)


def test_the_lowest_loss_wins() -> None:
    assert best(near=method(2.9), far=method(2.7), farther=method(2.8)) == "far"


def test_a_method_that_costs_more_than_the_tolerance_on_short_texts_cannot_win() -> None:
    assert best(dear=method(2.5, short=3.03), cheap=method(2.9, short=3.01)) == "cheap"
    assert best(dear=method(2.5, short=3.03)) is None


def test_what_does_not_beat_truncation_cannot_win() -> None:
    assert best(same=method(3.0), worse=method(3.1)) is None


def test_retrieval_beyond_the_trained_length_is_enough() -> None:
    assert best(same=method(3.0), reads=method(3.0, beyond=0.8)) == "reads"


def test_a_window_that_only_keeps_the_loss_does_not_hide_a_method_that_reads() -> None:
    assert best(window=method(2.999), reads=method(3.05, beyond=0.8)) == "reads"


def test_ties_in_loss_go_to_the_better_memory() -> None:
    assert best(first=method(2.700, beyond=0.4), second=method(2.705, beyond=0.7, wobble=3.0)) == "second"


def test_who_is_tied_with_the_best_is_named_after_it() -> None:
    first, second, far = method(2.700, beyond=0.4), method(2.705, beyond=0.7, wobble=3.0), method(2.8)
    assert ranked(far=far, first=first, second=second) == ["second", "first"]
    assert ranked(same=method(3.0)) == []


def test_a_sure_difference_in_loss_is_no_tie() -> None:
    assert best(first=method(2.7, beyond=0.4), second=method(2.8, beyond=0.7)) == "first"


def test_an_assessment_says_what_it_compares() -> None:
    found = assess(method(2.8, short=3.05, beyond=0.5), PLAIN_SHORT, TRUNCATION)
    assert round(found.gain.value, 2) == -0.2
    assert round(found.price.value, 2) == 0.05
    assert round(found.retrieval.value, 2) == 0.25
    assert (found.affordable, found.beats_in_loss, found.beats_in_retrieval) == (False, True, True)
