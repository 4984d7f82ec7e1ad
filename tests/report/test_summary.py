"""Who is judged after the race."""

from longspan.report.summary import finalists


def row(method: str, beyond: float, price: float = 0.0) -> dict[str, object]:
    return {"method": method, "beyond": beyond, "price": price}


def test_the_first_by_loss_are_judged() -> None:
    assert finalists([row("a", 0.9), row("b", 0.2), row("c", 0.2), row("d", 0.2)], 3, 0.02) == ("a", "b", "c")


def test_the_one_that_finds_most_is_judged_in_place_of_the_last() -> None:
    assert finalists([row("a", 0.2), row("b", 0.2), row("c", 0.2), row("d", 0.9)], 3, 0.02) == ("a", "b", "d")


def test_finding_at_too_high_a_price_earns_no_place() -> None:
    assert finalists([row("a", 0.2), row("b", 0.2), row("c", 0.9, 0.5)], 2, 0.02) == ("a", "b")


def test_of_equals_the_one_of_lower_loss_is_taken() -> None:
    assert finalists([row("a", 0.2), row("b", 0.9), row("c", 0.9)], 1, 0.02) == ("b",)
