"""Who is judged after the race."""

from longspan.study.race import finalists
from longspan.study.summary import RaceRow


def row(method: str, right: int, price: float = 0.0) -> RaceRow:
    return RaceRow(method, loss=3.0, beyond=right / 40, asked=40, price=price, tokens_per_second=1.0)


def test_the_first_by_loss_are_judged() -> None:
    assert finalists([row("a", 36), row("b", 8), row("c", 8), row("d", 8)], 3, 0.02) == ("a", "b", "c")


def test_one_that_surely_finds_more_than_they_is_judged_in_place_of_the_last() -> None:
    assert finalists([row("a", 8), row("b", 8), row("c", 8), row("d", 36)], 3, 0.02) == ("a", "b", "d")


def test_a_few_facts_more_may_be_chance() -> None:
    assert finalists([row("a", 15), row("b", 20), row("c", 17)], 1, 0.02) == ("a",)


def test_of_those_that_find_about_the_most_the_one_of_lowest_loss_is_taken() -> None:
    assert finalists([row("a", 8), row("b", 33), row("c", 36)], 1, 0.02) == ("b",)


def test_finding_at_too_high_a_price_earns_no_place() -> None:
    assert finalists([row("a", 8), row("b", 8), row("c", 36, 0.5)], 2, 0.02) == ("a", "b")
    assert finalists([row("a", 8), row("b", 8), row("c", 36, 0.5), row("d", 36)], 2, 0.02) == ("a", "d")


def test_a_race_without_far_facts_is_decided_by_loss() -> None:
    none = [RaceRow(name, 3.0, beyond=0.0, asked=0, price=0.0, tokens_per_second=1.0) for name in "ab"]
    assert finalists(none, 1, 0.02) == ("a",)
