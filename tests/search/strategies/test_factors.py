"""Frequencies: a text means what its curve means, CMA-ES finds a known optimum, equal costs give equal proposals."""

import random
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from longspan.errors import InputError, RefusalError
from longspan.geometry import Geometry
from longspan.measure.models.source import geometry_of
from longspan.notation import parse
from longspan.pretrained.attach import extend
from longspan.pretrained.attachment import attachment_of
from longspan.rotation.longrope import LongRoPE
from longspan.search.strategies.curve import KNOTS
from longspan.search.strategies.factors import FactorSearch, Family
from longspan.search.strategies.strategy import Strategy, ranked
from longspan.study.candidates import candidates
from tiny import llama

FAMILY = Family(Geometry(4, 4, 64, 512), rotary_dim=64, pairs=32, length=4096)
POINTS = st.lists(st.floats(0, 1), min_size=KNOTS + 3, max_size=KNOTS + 3)


def rotation_of(text: str) -> LongRoPE:
    found = parse(text).rotation
    assert isinstance(found, LongRoPE)
    return found


def distance_to(goal: np.ndarray) -> Callable[[str], float]:
    """A cost that is lowest for known factors."""
    return lambda text: float(np.abs(np.log(np.array(rotation_of(text).long)) - goal).mean())


def walked(search: Strategy, cost: Callable[[str], float], batches: int) -> list[tuple[str, ...]]:
    """What a search proposes."""
    search.begin([3.0, 1.0, 2.0, 4.0])
    asked = []
    for _ in range(batches):
        asked.append(search.ask())
        assert asked[-1]
        search.tell([cost(text) for text in asked[-1]])
    return asked


@given(POINTS)
def test_a_text_means_its_curve(point: list[float]) -> None:
    """To nine digits, and one list for texts of all lengths, which stock runtimes need."""
    curve = FAMILY.space.curve(np.array(point))
    rotation = rotation_of(FAMILY.text(curve))
    expected = rotation.original(64).numpy() / np.array(curve.factors(32))
    np.testing.assert_allclose(rotation.frequencies(64), expected, rtol=1e-8)
    assert rotation.gain == pytest.approx(curve.gain, rel=1e-8)
    assert len(rotation.segments(4096)) == 1


@pytest.mark.parametrize("text", FAMILY.published)
def test_the_text_of_a_published_rescaling_has_its_frequencies(text: str) -> None:
    named, written = parse(text).rotation, rotation_of(FAMILY.text(FAMILY.published[text]))
    np.testing.assert_allclose(written.frequencies(64), named.frequencies(64), rtol=1e-8)
    assert written.gain == pytest.approx(named.gain, rel=1e-8)


def test_the_starts_are_those_of_a_study() -> None:
    """Linear is too poor to be a candidate there, and NTK at the plain factor."""
    starts = FactorSearch(FAMILY, 0).starts
    assert [text.partition("(")[0] for text in starts] == ["linear", "ntk", "ntk", "yarn"]
    assert set(starts[2:]) <= set(candidates(FAMILY.geometry, FAMILY.length))


def test_pairs_that_do_not_rotate_get_a_factor_too() -> None:
    few = Family(FAMILY.geometry, rotary_dim=64, pairs=20, length=4096)
    curve = few.space.curve(np.full(KNOTS + 3, 0.5))
    factors = rotation_of(few.text(curve)).long
    assert factors is not None
    assert len(factors) == 32
    assert set(factors[20:]) == {factors[19]}


def test_a_known_optimum_is_found() -> None:
    """From another start, by costs alone."""
    goal = np.log(np.array(FAMILY.published["ntk(factor=16.0, theta=10000.0)"].factors(32)))
    search, cost = FactorSearch(FAMILY, 0), distance_to(goal)
    asked = walked(search, cost, 60)
    first, last = (min(cost(text) for text in batch) for batch in (asked[0], asked[-1]))
    assert last < 0.07
    assert last < first / 3


def global_state() -> list[int]:
    """Of numpy's global generator."""
    found = np.random.get_state(legacy=False)
    assert isinstance(found, dict)
    return found["state"]["key"].tolist()


@settings(max_examples=10)
@given(st.integers(0, 2**31))
def test_equal_costs_give_equal_proposals(seed: int) -> None:
    """And neither takes from, nor gives to, numpy's global generator."""
    cost = distance_to(np.zeros(32))
    first = walked(FactorSearch(FAMILY, seed), cost, 4)
    np.random.seed(random.randrange(2**31))
    before = global_state()
    assert walked(FactorSearch(FAMILY, seed), cost, 4) == first
    assert global_state() == before
    assert walked(FactorSearch(FAMILY, seed + 1), cost, 1) != first[:1]
    assert {len(batch) for batch in first} == {FactorSearch(FAMILY, seed).batch}


def test_failures_are_the_worst_and_do_not_stop_it() -> None:
    """Close to the start, whose largest factor is 8, those above 8.5 fail."""
    goal = distance_to(np.log(np.full(32, 7.0)))

    def cost(text: str) -> float:
        return inf if max(rotation_of(text).long or ()) > 8.5 else goal(text)

    asked = walked(FactorSearch(FAMILY, 0), cost, 40)
    assert inf in map(cost, asked[0])
    assert min(map(cost, asked[-1])) < 0.3 < min(map(cost, asked[0]))


def test_ranked_keeps_the_order() -> None:
    assert ranked([inf, 1.0, 5.0, inf]) == [6.0, 1.0, 5.0, 6.0]
    assert ranked([inf, inf]) == [1.0, 1.0]


def test_it_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a file that cma would read its options from does not steer it."""
    monkeypatch.chdir(tmp_path)
    expected = walked(FactorSearch(FAMILY, 1), distance_to(np.zeros(32)), 3)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "cma_signals.in").write_text("{'timeout': 0, 'tolx': 1e9}")
    assert walked(FactorSearch(FAMILY, 1), distance_to(np.zeros(32)), 3) == expected


def test_a_missing_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cma", None)
    with pytest.raises(InputError, match=r"pip install 'longspan\[search\]'"):
        FactorSearch(FAMILY, 0)


def test_only_layers_that_see_everything_are_changed() -> None:
    """Gemma 3's sliding layers have a base of their own; the candidates start from that of the others."""
    config = Gemma3TextConfig(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=6, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=64, sliding_window=16,
    )  # fmt: skip
    model = extend(Gemma3ForCausalLM(config).eval(), "rope")
    attachment = attachment_of(model)
    assert attachment is not None
    family = Family.of(attachment.target, geometry_of(model), 256)
    assert (family.pairs, family.geometry.theta) == (8, 1e6)
    curve = family.space.curve(np.full(KNOTS + 3, 0.5))
    attachment = attachment_of(extend(model, family.text(curve)))
    assert attachment is not None
    ((source, rotation),) = attachment.work.rotations.items()
    assert source.layer_type == "full_attention"
    expected = rotation_of(family.text(curve)).original(16).numpy() / np.array(curve.factors(8))
    np.testing.assert_allclose(rotation.frequencies(16), expected, rtol=1e-8)


def test_a_model_whose_frequencies_are_not_known_is_refused() -> None:
    model = extend(llama(40), "rope")
    attachment = attachment_of(model)
    assert attachment is not None
    unknown = replace(attachment.target, refusal="starts from the model's original frequencies, which are not known")
    with pytest.raises(RefusalError, match="a search over frequencies starts from the model's original"):
        Family.of(unknown, geometry_of(model), 256)
