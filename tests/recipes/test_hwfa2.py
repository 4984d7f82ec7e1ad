"""HWFA2: full layers in the middle, ReRoPE there at inference."""

import pytest

from longspan import parse
from longspan.errors import SchemeError
from longspan.mask.window import Window
from longspan.recipes.hwfa2 import hwfa2

FULL = parse("rope + log_length(512, form=training)")


@pytest.mark.parametrize(("full_layers", "where"), [(1, {12}), (2, {8, 16})])
def test_full_layers_stand_at_half_or_at_thirds(full_layers: int, where: set[int]) -> None:
    plan = hwfa2(24, 512, window=64, full_layers=full_layers)
    for layer in range(24):
        assert plan.layer(layer, 24) == (FULL if layer in where else parse("rope + window(64)"))


def test_inference_puts_rerope_into_the_full_layers() -> None:
    training, inference = hwfa2(24, 512, 64), hwfa2(24, 512, 64, rerope=256)
    assert inference.layer(12, 24) == parse("rerope(256) + log_length(512, form=training)")
    assert inference.layer(0, 24) == training.layer(0, 24)


def test_the_window_left_open_is_in_the_suggested_range() -> None:
    """2 L / ℓ is 42.7 and 4 L / ℓ is 85.3."""
    assert hwfa2(24, 512).layer(0, 24).mask == Window(43)


def test_too_many_full_layers_are_refused() -> None:
    with pytest.raises(SchemeError, match="full_layers must be 1 … 3 of 4 layers, got 4"):
        hwfa2(4, 512, full_layers=4)
