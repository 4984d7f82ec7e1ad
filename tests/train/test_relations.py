"""Relations: each holds where its numbers say so, fails where one seed breaks it, and is not known without numbers."""

from dataclasses import replace
from pathlib import Path

import pytest

from longspan.measure.statistics.interval import share
from longspan.report.designs import relations
from longspan.report.figures.designs import curves
from longspan.train.comparison import Outcome, Row
from longspan.train.grid import read_grid
from longspan.train.relations import DEPENDENCE, ENCODERS, LAWS, RELATIONS, agrees, verdicts

L = 64
LENGTHS = (16, L, 72, 128, 512)
PLANS = (
    "rope", "alibi", "kerple_log", "kerple_power", "sandwich", "xpos", "hwfa", "rope + key_norm",
)  # fmt: skip


def losses(quarter: float, full: float, far: float, near: float | None = None) -> tuple[float, ...]:
    """Losses at L/4, L, 9/8 L, 2 L and 8 L; where `near` is left out, as at L."""
    return quarter, full, full if near is None else near, far, far


STAYS, FALLS = losses(2.5, 2.0, 2.01), losses(2.5, 2.0, 4.0)
WORLD = {
    ("rope", "plain"): FALLS,
    ("rope", "window(size=64)"): STAYS,
    ("rope", "linear(factor=8.0, theta=10000.0)"): losses(3.6, 3.5, 3.6),
    ("rope", "ntk(factor=8.0, theta=10000.0)"): losses(2.7, 2.2, 2.3),
    ("rope", "rerope(window=16)"): STAYS,
    ("rope", "rerope(window=32)"): STAYS,
    ("rope", "rerope(window=32) + log_length(trained_length=64)"): losses(2.5, 2.0, 1.99),
    ("alibi", "plain"): STAYS,
    ("kerple_log", "plain"): STAYS,
    ("kerple_power", "plain"): STAYS,
    ("sandwich", "plain"): STAYS,
    ("xpos", "plain"): FALLS,
    ("xpos", "window(size=64)"): STAYS,
    ("xpos", "blockwise(block=64)"): STAYS,
    ("hwfa", "plain"): STAYS,
    ("rope + key_norm", "plain"): losses(2.5, 2.0, 3.0),
}
"""Losses as the articles have them; methods by the names that measurements have, with all numbers filled in."""


@pytest.fixture
def cells(tmp_path: Path):
    designs = "".join(f"[grid.designs.'{plan}']\nplan = '{plan}'\n" for plan in PLANS)
    (tmp_path / "grid.toml").write_text(
        f"[data]\ntrain = ['x']\n[training]\nlength = {L}\n[test]\nlengths = [512]\n[grid]\nseeds = [0, 1]\n{designs}"
    )
    return read_grid(tmp_path / "grid.toml")


def rows(world: dict, seed_1: dict | None = None, learned: bool = True) -> list[Row]:
    return [
        Row(
            design,
            method,
            tuple(
                Outcome(seed, dict(zip(LENGTHS, found, strict=True)), {}, learned)
                for seed, found in ((0, values), (1, (seed_1 or {}).get((design, method), values)))
            ),
        )
        for (design, method), values in world.items()
    ]


def test_all_hold_where_the_articles_are_right(cells) -> None:
    found = verdicts(cells, rows(WORLD))
    assert [each.name for each in found] == list(RELATIONS)
    assert all(each.held for each in found), found


@pytest.mark.parametrize(
    ("name", "row", "values"),
    [
        ("R2", ("rope", "plain"), losses(2.5, 2.0, 2.9)),
        ("R3", ("rope", "window(size=64)"), losses(2.5, 2.0, 2.2)),
        ("R4", ("rope", "linear(factor=8.0, theta=10000.0)"), losses(3.0, 2.9, 2.9)),
        ("R5", ("rope", "rerope(window=16)"), losses(2.5, 2.0, 2.2)),
        ("R6", ("rope", "rerope(window=32) + log_length(trained_length=64)"), losses(2.5, 2.0, 2.05)),
        ("R7", ("alibi", "plain"), losses(2.5, 2.0, 2.1)),
        ("R8", ("rope", "plain"), losses(1.9, 2.0, 4.0)),
        ("R12", ("hwfa", "plain"), losses(2.5, 2.0, 2.1)),
        ("R13", ("rope", "plain"), losses(2.5, 2.0, 4.0, near=2.1)),
        ("R14", ("sandwich", "plain"), losses(2.5, 1.9, 1.9)),
        ("R15", ("xpos", "blockwise(block=64)"), losses(2.5, 2.0, 1.9)),
        ("RK", ("rope + key_norm", "plain"), losses(2.5, 2.0, 4.2)),
    ],
)
def test_one_seed_is_enough_to_break_a_relation(cells, name: str, row: tuple, values: tuple) -> None:
    found = {each.name: each for each in verdicts(cells, rows(WORLD, {row: values}))}
    assert found[name].held is False
    assert len(found[name].sentence) > 20


def test_an_encoder_has_relations_of_its_own_and_biases_that_are_not_there_do_not_count(tmp_path: Path) -> None:
    world = {(plan, method): found for (plan, method), found in WORLD.items() if plan in ("rope", "alibi")}
    designs = "".join(f"[grid.designs.{plan}]\nplan = '{plan} + bidirectional'\n" for plan in ("rope", "alibi"))
    (tmp_path / "grid.toml").write_text(
        "[data]\ntrain = ['x']\n[training]\nlength = 64\nobjective = 'masked'\n[grid]\nseeds = [0, 1]\n" + designs
    )
    cells = read_grid(tmp_path / "grid.toml")
    assert {each.name: each.held for each in verdicts(cells, rows(world))} == dict.fromkeys(ENCODERS, True)
    better = {("alibi", "plain"): losses(2.5, 1.9, 1.9)}
    assert [each.name for each in verdicts(cells, rows(world, better)) if not each.held] == ["R14"]


def test_what_was_not_measured_or_not_trained_is_not_known(cells) -> None:
    only_rope = {key: value for key, value in WORLD.items() if key == ("rope", "plain")}
    found = {each.name: each for each in verdicts(cells, rows(only_rope))}
    assert [name for name, each in found.items() if each.held is not None] == ["R2", "R8", "R13"]
    assert found["R7"].sentence == "alibi under plain was not measured at 64 tokens"
    found = {each.name: each for each in verdicts(cells, rows(WORLD, learned=False))}
    assert all(each.held is None for each in found.values())
    assert "was not trained" in found["R2"].sentence
    assert "| R2 | not known |" in relations(list(found.values()))


def test_a_design_with_other_positions_is_not_its_plan(cells) -> None:
    moved = [
        replace(cell, settings=replace(cell.settings, design=replace(cell.settings.design, absolute="sinusoidal")))
        for cell in cells
    ]
    assert all(each.held is None for each in verdicts(moved, rows(WORLD)))


@pytest.mark.parametrize(
    ("found", "wanted", "agree"),
    [
        ("ntk(factor=8.0, theta=500000.0)", "ntk(factor=8)", True),
        ("ntk(factor=8.0, theta=500000.0)", "ntk(factor=8, theta=10000)", False),
        ("ntk(factor=16.0, theta=10000.0)", "ntk(factor=8)", False),
        ("rerope(window=32)", "rerope(window=32) + log_length", False),
        ("rerope(window=32) + log_length(trained_length=64)", "rerope(window=32)", False),
        ("window(size=64)", "blockwise(64)", False),
        ("plain", "window(64)", False),
    ],
)
def test_a_measured_method_is_the_wanted_one_where_all_given_numbers_are(found: str, wanted: str, agree: bool) -> None:
    assert agrees(found, wanted) is agree


def test_curves_show_every_seed_and_who_was_not_trained() -> None:
    drawn = curves(rows(WORLD, {("alibi", "plain"): losses(2.6, 2.1, 2.2)}), LENGTHS, L)
    for plan in PLANS:
        assert f">{plan}<" in drawn
    assert "not trained" not in drawn
    assert "window" not in drawn  # methods at test are in the table
    assert drawn != curves(rows(WORLD), LENGTHS, L)
    assert "(not trained)" in curves(rows(WORLD, learned=False), LENGTHS, L)


def seeds_of(world: dict, kept: dict) -> list[Row]:
    """The rows of a grid that is not finished: some have some of the seeds."""
    every = rows(world)
    return [
        replace(row, outcomes=tuple(each for each in row.outcomes if each.seed in kept.get(row.design, (0, 1))))
        for row in every
    ]


def test_a_relation_without_a_common_seed_is_not_known(cells) -> None:
    """Several commands make one grid: RoPE may have seed 0 so far, and the others seed 1."""
    found = {
        each.name: each for each in verdicts(cells, seeds_of(WORLD, dict.fromkeys(PLANS[1:], (1,)) | {"rope": (0,)}))
    }
    for name in ("R14", "RK"):
        assert found[name].held is None
        assert "no seed in common" in found[name].sentence
    assert found["R2"].held
    assert "+2.000 (" in found["R2"].sentence


def test_seeds_are_compared_with_themselves(cells) -> None:
    """With seed 1 RoPE loses less than with seed 0, and less than key normalization, which has seed 1 alone."""
    first, second = (rows(WORLD | {("rope", "plain"): losses(2.5, 2.0, far)}) for far in (9.0, 2.5))
    mixed = [
        replace(one, outcomes=(one.outcomes[0], other.outcomes[1])) if one.design == "rope" else one
        for one, other in zip(first, second, strict=True)
    ]
    mixed = [replace(row, outcomes=row.outcomes[1:]) if row.design == "rope + key_norm" else row for row in mixed]
    (found,) = [each for each in verdicts(cells, mixed) if each.name == "RK"]
    assert (found.held, "by +0.500 (" in found.sentence) == (False, True)


ANSWERS = {("rope", "plain"): 60, ("window", "plain"): 5, ("rope", "window(size=5)"): 4}
"""Whole answers of 100 at 40 symbols, where guesses have 4."""


@pytest.fixture
def answering(tmp_path: Path):
    (tmp_path / "answers.toml").write_text(
        "[data]\ntask = 'first_token'\ntokenizer = 'symbols'\nlongest = 40\n[training]\nlength = 64\n"
        "[test]\nlengths = [40]\n[grid]\nseeds = [0]\n"
        "[grid.designs.rope]\nplan = 'rope'\n[grid.designs.window]\nplan = 'rope + window(5)'\n"
    )
    return read_grid(tmp_path / "answers.toml")


def answered(right: dict) -> list[Row]:
    return [
        Row(design, method, (Outcome(0, {}, {}, False, whole={40: share([count], [100])}),))
        for (design, method), count in right.items()
    ]


@pytest.mark.parametrize(
    ("changed", "held"),
    [
        ({}, True),
        ({("rope", "plain"): 20}, False),
        ({("window", "plain"): 30}, False),
        ({("rope", "window(size=5)"): 20}, False),
    ],
)
def test_a_window_is_at_chance_where_the_answer_is_far_away(answering, changed: dict, held: bool) -> None:
    (found,) = verdicts(answering, answered(ANSWERS | changed))
    assert (found.name, found.held) == ("R18", held)


def test_a_task_whose_answer_is_near_has_no_relation(answering) -> None:
    near = [
        replace(cell, settings=replace(cell.settings, data=replace(cell.settings.data, task="parity")))
        for cell in answering
    ]
    assert verdicts(near, answered(ANSWERS)) == ()


def test_every_relation_of_the_articles_has_a_grid_or_a_test() -> None:
    assert {*RELATIONS, *DEPENDENCE, *LAWS} >= {f"R{number}" for number in range(1, 20)}
    root = Path(__file__).parents[2]
    for _, test in LAWS.values():
        assert (root / test).exists(), test
