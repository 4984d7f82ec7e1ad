"""The list of hypotheses: every kind of mistake, only where it makes sense."""

from typing import Any

import pytest

from audit.blackbox.serving import LENGTHS, OPENING, local
from longspan.audit.blackbox.compare import asked_of
from longspan.audit.blackbox.hypotheses import listed


def names(expect: str, opening: tuple[int, ...] = OPENING, model: Any = None) -> list[str]:
    return [each.name for each in listed(asked_of(model or local(), expect, LENGTHS, opening))]


@pytest.mark.parametrize(
    ("expect", "mistake"),
    [
        ("yarn(factor=4)", "plain"),
        ("yarn(factor=4)", "linear(factor=4) instead of yarn(factor=4)"),
        ("yarn(factor=4)", "frequencies are rescaled twice, the attention factor once"),
        ("linear(factor=2)", "factor 4, the double of what was asked"),
        ("plain", "yarn(factor=8) instead of plain"),
        ("rerope(window=32)", "rerope is ignored"),
        ("rerope(window=32)", "window is 16, half of what was asked"),
        ("self_extend(window=16, group=4)", "group is 8, double of what was asked"),
        ("rerope(window=32) + log_length", "log-n scaling is missing"),
        ("yarn(factor=4) + window(size=32, sinks=4)", "the window is missing"),
        ("window(size=32, sinks=4)", "the window has no sinks"),
        ("window(size=32)", "a window of 16, the half of what was asked"),
    ],
)
def test_a_mistake_is_listed(expect: str, mistake: str) -> None:
    assert any(mistake in name for name in names(expect))


@pytest.mark.parametrize("expect", ["plain", "yarn(factor=4)", "dynamic_ntk(factor=2)", "rerope(window=32)"])
def test_names_are_unique_and_what_was_asked_comes_first(expect: str) -> None:
    found = names(expect)
    assert found[0] == expect
    assert len(set(found)) == len(found)
    assert len(found) >= 20


@pytest.mark.parametrize("expect", ["linear(factor=2)", "ntk(factor=4)"])
def test_what_does_the_same_is_listed_once(expect: str) -> None:
    """Rescaling twice by a factor that passes through all frequencies is rescaling by its square."""
    found = names(expect)
    assert not any("rescaled twice" in name for name in found)
    assert sum("factor" in name and "what was asked" in name for name in found) == (1 if "linear" in expect else 3)


def test_an_opening_needs_a_tokenizer_that_has_one() -> None:
    assert any("BOS" in name for name in names("plain"))
    assert not any("BOS" in name for name in names("plain", opening=()))


def test_a_models_window_needs_a_model_that_has_one() -> None:
    assert not any("model's sliding window" in name for name in names("plain"))
