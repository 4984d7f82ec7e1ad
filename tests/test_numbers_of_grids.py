"""Notes of trained grids take their numbers from the grids."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jinja2 import UndefinedError

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def numbers() -> ModuleType:
    """docs/numbers_of_grids.py as a module."""
    specification = importlib.util.spec_from_file_location("numbers_of_grids", DOCS / "numbers_of_grids.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def row(design: str, losses: list[float], shares: list[float]) -> dict[str, Any]:
    """A design with a seed for each loss at 8 and share at 8; the loss at 4 is 1."""
    outcomes = [
        {
            "seed": seed, "loss": {"4": 1.0, "8": loss}, "accuracy": {}, "learned": True, "failed": None,
            "symbols": {}, "whole": {"8": {"value": share, "low": 0.0, "high": 1.0, "documents": 9}}, "context": None,
        }
        for seed, (loss, share) in enumerate(zip(losses, shares, strict=True))
    ]  # fmt: skip
    return {"design": design, "method": "plain", "outcomes": outcomes}


def test_sentences_have_the_numbers_of_the_grid(numbers: ModuleType) -> None:
    found = {"rows": [row("a", [1.5, 0.75], [0.25, 0.5]), row("b", [1.0, 1.0], [1.0, 1.0])]}
    one, two = numbers.Numbers({"g": found}), numbers.Numbers({"g": found, "h": {"rows": [row("a", [2.0], [0.125])]}})
    for text, shown in (
        ("{{ percent('whole', 'a', 8) }} %", "38 %"),
        ("{{ tenths('whole', 'a', 8) }} %", "37.5 %"),
        ("{{ seeds('whole', 'a', 8) | join(', ') }}", "50, 25"),
        ("{{ rise('a', 4, 8) }}", "−0.25 to 0.50"),
        ("{{ above('a', 'b', 8) }}", "−0.25 to 0.50"),
    ):
        assert numbers.written(text, one) == shown
    assert numbers.written("{{ tenths('whole', 'a', 8, of='h') }}", two) == "12.5"
    with pytest.raises(UndefinedError):
        numbers.written("{{ share }}", one)
