"""Costs in closed form: a plain Transformer, and what windows and shared keys change."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.audit.counting.cost import cost
from longspan.audit.watching.observation import Layer

H, N = 1024, 8192
PLAIN = Layer(0, "full_attention", True, 8, 8, 128, 128)


def test_a_plain_transformer_crosses_at_six_times_its_hidden_size() -> None:
    assert cost([PLAIN] * 3, 3 * 12 * H**2, H, N).crossing == 6 * H


def test_shared_keys_save_no_operations() -> None:
    assert cost([replace(PLAIN, num_kv_heads=1)], 12 * H**2, H, N) == cost([PLAIN], 12 * H**2, H, N)


def test_a_window_belongs_to_what_grows_no_more() -> None:
    found = cost([PLAIN, replace(PLAIN, window=100)], 24 * H**2, H, N)
    assert found.windows == 2 * 8 * 256 * 100
    assert found.crossing == pytest.approx((48 * H**2 + found.windows) / (4 * H))


def test_without_a_full_layer_nothing_dominates() -> None:
    assert cost([replace(PLAIN, window=100)], 12 * H**2, H, N).crossing is None


@given(st.integers(1, 2 * N))
def test_a_window_that_the_text_does_not_fill_is_none(window: int) -> None:
    found = cost([replace(PLAIN, window=window)], 12 * H**2, H, N)
    assert (found == cost([PLAIN], 12 * H**2, H, N)) == (window >= N)
