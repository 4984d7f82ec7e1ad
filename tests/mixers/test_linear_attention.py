"""Outside source: the articles' formulas, pair by pair (arXiv:2006.16236 eq. 4; kexue.fm/archives/7546)."""

from math import exp
from typing import Literal

import numpy as np
import pytest
import torch

from longspan.compute.mix import mix
from longspan.mixers.linear_attention import LinearAttention

Feature = Literal["elu", "cosine"]
X = torch.randn(1, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def weights(feature: Feature) -> dict[str, torch.Tensor]:
    plain = LinearAttention(feature).initial_weights(1, 4, torch.Generator().manual_seed(2))
    return {name: value.double() for name, value in plain.items()} | {"out": torch.eye(4).double()[:, None]}


def by_hand(feature: Feature, causal: bool) -> np.ndarray:
    own = weights(feature)
    query, key, value = (np.einsum("td,kd->tk", X[0], own[name][0]) for name in ("query", "key", "value"))
    y = np.zeros((6, 4))
    for i in range(6):
        seen = range(i + 1 if causal else 6)
        a = [_weight(feature, query[i], key[j]) for j in seen]
        a = np.array(a) / (sum(a) + (1e-6 if feature == "elu" else 0))
        y[i] = sum(w * value[j] for w, j in zip(a, seen, strict=True))
    return y


def _weight(feature: Feature, query: np.ndarray, key: np.ndarray) -> float:
    if feature == "cosine":
        return float(1 + query @ key / np.linalg.norm(query) / np.linalg.norm(key))
    return sum((q + 1 if q > 0 else exp(q)) * (k + 1 if k > 0 else exp(k)) for q, k in zip(query, key, strict=True))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("feature", ["elu", "cosine"])
def test_formula_by_hand(feature: Feature, causal: bool) -> None:
    found, _ = mix(X, LinearAttention(feature), weights(feature), causal=causal)
    np.testing.assert_allclose(found[0].numpy(), by_hand(feature, causal), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("feature", ["elu", "cosine"])
def test_constant_values_stay_constant(feature: Feature) -> None:
    """Weights sum to one, up to the ε of elu."""
    own = weights(feature)
    x = X[:, :1].expand(-1, 6, -1)
    found, _ = mix(x, LinearAttention(feature), own)
    torch.testing.assert_close(found, x @ own["value"][0].T, rtol=1e-5, atol=1e-5)


def test_the_state_does_not_grow() -> None:
    own = weights("elu")
    sizes = [mix(X[:, :n], LinearAttention(), own, output_final_state=True)[1].nbytes for n in (1, 3, 6)]  # type: ignore[union-attr]
    assert sizes == [4 * 5 * 8] * 3
