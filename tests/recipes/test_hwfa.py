"""HWFA: the article's window rule, and what each layer sees."""

import pytest

from longspan import parse
from longspan.errors import SchemeError
from longspan.mask.window import Window
from longspan.recipes.hwfa import hwfa


def test_the_window_of_the_article() -> None:
    """24 layers at 512: at most 17. The article took 16, which reaches 0.676 of the trained length."""
    assert hwfa(24, 512).layer(0, 24) == parse("rope + window(17)")
    assert (17 - 1) * 23 + 1 <= 0.75 * 512 < (18 - 1) * 23 + 1
    assert pytest.approx(0.676, abs=5e-4) == ((16 - 1) * 23 + 1) / 512


@pytest.mark.parametrize(("num_layers", "trained_length"), [(2, 64), (5, 100), (12, 1024), (32, 4096)])
def test_the_window_is_the_largest_that_the_rule_allows(num_layers: int, trained_length: int) -> None:
    window = hwfa(num_layers, trained_length).layer(0, num_layers).mask
    assert isinstance(window, Window)
    assert window.size
    assert (window.size - 1) * (num_layers - 1) + 1 <= 0.75 * trained_length
    assert window.size * (num_layers - 1) + 1 > 0.75 * trained_length


def test_layers() -> None:
    plan = hwfa(4, 512, window=16)
    assert [plan.layer(i, 4) for i in range(3)] == 3 * [parse("rope + window(16)")]
    assert plan.layer(3, 4) == parse("nope + log_length(512, form=training)")


def test_refusals() -> None:
    with pytest.raises(SchemeError, match="hwfa needs 2 … 65536 layers, got 1"):
        hwfa(1, 512)
    with pytest.raises(SchemeError, match="size must be at least 1"):
        hwfa(4, 8, alpha=0.0)
