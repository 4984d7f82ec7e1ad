"""Layers: what is proposed differs in one layer, and the search ends where no single layer can be better."""

from itertools import product
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError, NotationError
from longspan.geometry import Geometry
from longspan.notation import format_scheme, parse_plan
from longspan.search.strategies.layers import LayerSearch, choices

GEOMETRY = Geometry(4, 4, 64, 512)
SCHEMES = choices((), GEOMETRY, 4096)


def layers_of(text: str, depth: int) -> tuple[int, ...]:
    """Which scheme each layer has."""
    plan = parse_plan(text, num_layers=depth)
    return tuple(SCHEMES.index(plan.layer(i, depth)) for i in range(depth))


def descend(search: LayerSearch, cost: dict[tuple[int, ...], float], depth: int) -> list[tuple[int, ...]]:
    """Follow a search to its end; return the plans that it asked about."""
    search.begin([cost[(choice,) * depth] for choice in range(len(SCHEMES))])
    asked: list[tuple[int, ...]] = []
    while batch := search.ask():
        assert len(batch) == search.batch
        found = [layers_of(text, depth) for text in batch]
        asked += found
        search.tell([cost[plan] for plan in found])
        assert len(asked) < 1000
    return asked


@st.composite
def costs(draw: st.DrawFn) -> tuple[int, dict[tuple[int, ...], float]]:
    """Any cost for any plan, failures included."""
    depth = draw(st.integers(2, 4))
    value = st.one_of(st.integers(0, 20).map(float), st.just(inf))
    return depth, {plan: draw(value) for plan in product(range(len(SCHEMES)), repeat=depth)}


@given(costs())
def test_it_ends_where_no_layer_alone_can_be_better(drawn: tuple[int, dict[tuple[int, ...], float]]) -> None:
    depth, cost = drawn
    search = LayerSearch(SCHEMES, depth, range(depth))
    asked = descend(search, cost, depth)
    uniform = [(choice,) * depth for choice in range(len(SCHEMES))]
    best = min([*uniform, *asked], key=cost.__getitem__)
    neighbors = [(*best[:i], c, *best[i + 1 :]) for i in range(depth) for c in range(len(SCHEMES))]
    assert cost[best] <= min(cost[plan] for plan in neighbors)
    assert cost[best] <= min(cost[plan] for plan in uniform)


def test_layers_that_do_not_matter_to_each_other_are_found_in_one_pass() -> None:
    wanted, depth = (2, 0, 1, 2), 4
    cost = {plan: float(sum(a != b for a, b in zip(plan, wanted, strict=True))) for plan in product(range(3), repeat=4)}
    asked = descend(LayerSearch(SCHEMES, depth, range(depth)), cost, depth)
    assert wanted in asked
    assert len(asked) <= 2 * 2 * depth


def test_sliding_layers_stay() -> None:
    search = LayerSearch(SCHEMES, 4, (1, 3))
    search.begin([0.0, 1.0, 1.0])
    for _ in range(2):
        for text in search.ask():
            plan = layers_of(text, 4)
            assert (plan[0], plan[2]) == (0, 0)
            assert sum(choice != 0 for choice in plan) == 1
        search.tell([5.0, 5.0])
    assert search.ask() == ()


def test_a_plan_of_equal_layers_is_written_as_its_scheme() -> None:
    search = LayerSearch(SCHEMES, 3, (0, 2))
    search.begin([1.0, 2.0, 3.0])
    search.ask()
    search.tell([0.5, 2.0])  # layer 0 takes the window
    assert format_scheme(SCHEMES[1]) in search.ask()
    assert format_scheme(SCHEMES[1]) == search.starts[1]


def test_the_usual_choices() -> None:
    assert [format_scheme(scheme) for scheme in SCHEMES] == [
        "rope", "rope + window(size=256)", "rerope(window=128)"
    ]  # fmt: skip


def test_what_is_given_is_filled_and_keeps_the_models_rotation() -> None:
    found = choices(("window(64)", "yarn + log_length"), GEOMETRY, 4096)
    assert format_scheme(found[0]) == "rope + window(size=64)"
    assert "factor=8.0" in format_scheme(found[1])
    assert "trained_length=512" in format_scheme(found[1]).partition("log_length")[2]


def test_too_few_or_bad_choices_are_refused() -> None:
    with pytest.raises(InputError, match="2 schemes at least, got 1"):
        choices(("rope", "rope"), GEOMETRY, 4096)
    with pytest.raises(NotationError, match="unknown method"):
        choices(("rope", "ropy"), GEOMETRY, 4096)
