"""Outside source: the paper's two softmaxes, pair by pair (arXiv:1812.01243)."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from longspan.mixers.efficient_attention import EfficientAttention
from mixers.by_formula import drawn, mixed, text

MIXER = EfficientAttention()


@pytest.mark.parametrize("causal", [True, False])
def test_formula_by_hand(causal: bool) -> None:
    weights, x = drawn(MIXER), text()
    query, key, value = (np.einsum("btd,hkd->bhtk", x, weights[name]) for name in ("query", "key", "value"))
    y = np.zeros_like(value)
    for i in range(x.shape[1]):
        seen = slice(0, i + 1 if causal else None)
        context = softmax(key[:, :, seen], axis=2).swapaxes(2, 3) @ value[:, :, seen]
        y[:, :, i] = (softmax(query[:, :, i], axis=-1)[:, :, None] @ context)[:, :, 0]
    wanted = np.einsum("bhtk,dhk->btd", y, weights["out"])
    np.testing.assert_allclose(mixed(x, MIXER, weights, causal=causal), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", ["recurrent", "chunk", "parallel"])
def test_large_keys_do_not_overflow(mode: str) -> None:
    weights = drawn(MIXER)
    weights["key"] = weights["key"] * 1e4
    assert mixed(text(), MIXER, weights, mode=mode).isfinite().all()


def test_constant_values_stay_constant() -> None:
    """Both softmaxes sum to one."""
    weights, x = drawn(MIXER), text(1).expand(-1, 5, -1)
    wanted = torch.einsum("btd,hkd,ehk->bte", x, weights["value"], weights["out"])
    torch.testing.assert_close(mixed(x, MIXER, weights), wanted)
