"""The window is transformers' sliding window, and its counts are those of its pairs."""

import numpy as np
import pytest
import torch
from transformers.masking_utils import sliding_window_bidirectional_overlay, sliding_window_causal_mask_function

from by_hand import BACKENDS, drawn, output, scores, tensors
from longspan import Geometry, attend
from longspan.errors import SchemeError
from longspan.mask.window import Window
from mask.by_pairs import counts, matrix

PLACES = 20


@pytest.mark.parametrize("size", [1, 2, 7, 20, 50])
@pytest.mark.parametrize("sinks", [0, 3])
def test_it_is_the_sliding_window_of_transformers(size: int, sinks: int) -> None:
    """Theirs counts the query itself among the `size` tokens of a causal window, and so does ours."""
    zero = torch.tensor(0)
    i, j = torch.arange(PLACES)[:, None], torch.arange(PLACES)
    sink = (j < sinks) & (j <= i)
    causal = sliding_window_causal_mask_function(size)(zero, zero, i, j) | sink
    both = sliding_window_bidirectional_overlay(size)(zero, zero, i, j) | (j < sinks)
    assert (matrix(Window(size, sinks=sinks), PLACES, causal=True) == causal.numpy()).all()
    assert (matrix(Window(size, sinks=sinks), PLACES, causal=False) == both.numpy()).all()


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("sinks", [0, 1, 5, 30])
@pytest.mark.parametrize("size", [1, 3, 19, 40])
def test_count_is_the_number_of_pairs(size: int, sinks: int, causal: bool) -> None:
    """Written out pair by pair, for the document's whole length and for each shorter one."""
    for length in (1, 2, 6, PLACES):
        pairs = [
            sum(
                (j <= i if causal else True) and (abs(i - j) < size + (0 if causal else 1) or j < sinks)
                for j in range(length)
            )
            for i in range(length)
        ]
        assert counts(Window(size, sinks=sinks), length, causal) == pairs


def test_one_layer_is_truncation_and_two_layers_are_not() -> None:
    """The receptive field of a stack of layers is layers · (w − 1) + 1."""
    q, k, v = tensors(*drawn(PLACES))
    one = attend(q, k, v, "rope + window(5)")
    for i in (4, 11, 19):
        near = slice(i - 4, i + 1)
        cut = attend(q[:, :, i : i + 1], k[:, :, near], v[:, :, near], "rope")
        torch.testing.assert_close(one[:, :, i : i + 1], cut, rtol=0, atol=1e-13)
    two = attend(one, one, one, "rope + window(5)")
    cut = attend(q[:, :, -5:], k[:, :, -5:], v[:, :, -5:], "rope")
    assert not torch.allclose(two[:, :, -1], attend(cut, cut, cut, "rope")[:, :, -1])


@pytest.mark.parametrize(("layers", "field"), [(1, 6), (2, 11), (3, 16)])
def test_receptive_field(layers: int, field: int) -> None:
    """The tokens whose value reaches the last output through windows of six."""
    reach = np.eye(40, dtype=bool)
    for _ in range(layers):
        reach = matrix(Window(6), 40, causal=True) @ reach
    assert reach[-1].sum() == field


@pytest.mark.parametrize("backend", BACKENDS)
def test_attention_over_the_window_is_that_of_its_pairs(backend: str) -> None:
    q, k, v = drawn(PLACES)
    place = np.arange(PLACES)
    r = place[:, None] - place
    keep = (r >= 0) & ((r < 5) | (place < 2))
    out = attend(*tensors(q, k, v), "rope + window(5, sinks=2)", backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, output(scores(q, k, place, place), v, keep), rtol=0, atol=1e-13)


def test_a_window_over_the_text_sees_all() -> None:
    assert Window(8).changes_nothing(8)
    assert not Window(8).changes_nothing(9)
    assert not Window().changes_nothing(1)
    assert (matrix(Window(8), 8, causal=True) == np.tri(8, dtype=bool)).all()
    assert not (matrix(Window(8), 9, causal=True) == np.tri(9, dtype=bool)).all()


def test_fill_and_refusal() -> None:
    assert Window().fill(Geometry(8, 8, 16, trained_length=64), 1024) == Window(64)
    with pytest.raises(SchemeError, match="window: size must be at least 1, got 0"):
        Window(0)
    with pytest.raises(SchemeError, match="window: sinks must be at least 0, got -1"):
        Window(4, sinks=-1)
