"""Outside source: the paper's weight of a pair, with the cosine as it is written there (arXiv:2202.08791)."""

import numpy as np
import pytest
import torch

from longspan.mixers.cosformer import CosFormer
from mixers.by_formula import drawn, mixed, text


@pytest.mark.parametrize("causal", [True, False])
def test_formula_by_hand(causal: bool) -> None:
    mixer = CosFormer(20)
    weights, x = drawn(mixer), text()
    query, key, value = (np.einsum("btd,hkd->bhtk", x, weights[name]) for name in ("query", "key", "value"))
    place = np.arange(x.shape[1])
    falls = np.cos(np.pi / 2 * (place[:, None] - place) / 20)
    matrix = np.maximum(query, 0) @ np.maximum(key, 0).swapaxes(2, 3) * falls
    matrix = np.tril(matrix) if causal else matrix
    y = matrix @ value / np.maximum(matrix.sum(-1, keepdims=True), 1e-6)
    wanted = np.einsum("bhtk,dhk->btd", y, weights["out"])
    np.testing.assert_allclose(mixed(x, mixer, weights, causal=causal), wanted, rtol=1e-9, atol=1e-11)


def test_a_negative_sum_of_weights_divides_as_it_is() -> None:
    """Clamped to the least positive number, it made outputs a million times as large beyond M."""
    total = torch.tensor([-2.0, -1e-9, 0.0, 1e-9, 2.0], dtype=torch.float64)
    found = CosFormer(4).normalized(torch.stack([torch.ones_like(total), total], -1))[:, 0]
    torch.testing.assert_close(found, torch.tensor([-0.5, -1e6, 1e6, 1e6, 0.5], dtype=torch.float64))


def test_a_row_of_hardly_any_weight_is_divided_by_the_least() -> None:
    """Half of keys that are hardly there are half of the output: their weights are not divided by their own sum."""
    mixer = CosFormer(20)
    weights, x = drawn(mixer), text()
    small, half = (mixed(x, mixer, weights | {"key": weights["key"] * size}) for size in (1e-9, 5e-10))
    torch.testing.assert_close(half * 2, small)
    assert small.norm() > 1e-4 * mixed(x, mixer, weights).norm()  # about 1e-9 / 1e-6


def test_beyond_its_length_a_far_token_counts_against() -> None:
    """What the file says: the cosine of a distance above M is negative."""
    features = CosFormer(4).features
    one = torch.ones(2, 1, dtype=torch.float64)
    near, far = features(one, torch.tensor([0, 3])), features(one, torch.tensor([0, 6]))
    assert near[0] @ near[1] > 0 > far[0] @ far[1]
