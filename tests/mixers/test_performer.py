"""Outside sources: the exponential that the features estimate, and PyTorch's softmax attention as their limit."""

from dataclasses import replace
from math import exp

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from longspan.mixers.performer import Performer, directions
from mixers.by_formula import drawn, mixed, text

DRAWS = 3000


def estimates(query: torch.Tensor, key: torch.Tensor, num: int) -> torch.Tensor:
    """φ(q)·φ(k) of many draws; the features scale their inputs by d^{−1/4}, which is taken back."""
    scaled = torch.stack([query, key]) * len(query) ** 0.25
    found = []
    for seed in range(DRAWS):
        features = replace(Performer(epsilon=0.0), num=num, seed=seed).features(scaled, torch.zeros(2).long())
        found.append(features[0] @ features[1])
    return torch.stack(found)


@pytest.mark.parametrize("num", [1, 4])
def test_features_estimate_the_exponential(num: int) -> None:
    """Without bias, and with the variance of one feature, e^{|q+k|²} − 1 of the squared mean: within 3 deviations."""
    query, key = torch.tensor([0.3, -0.2, 0.4, 0.1]).double(), torch.tensor([0.2, 0.3, 0.1, -0.3]).double()
    found = estimates(query, key, num)
    true = exp(query @ key)
    variance = true**2 * (exp((query + key).square().sum()) - 1) / num
    assert abs(found.mean() - true) < 3 * (variance / DRAWS) ** 0.5
    if num == 1:
        assert found.var().item() == pytest.approx(variance, rel=0.25)
    else:
        assert found.var() < variance  # orthogonal directions do better than independent ones


def test_many_features_are_softmax_attention() -> None:
    mixer = Performer(num=20000, epsilon=0.0)
    weights, x = drawn(mixer), text() * 0.5
    query, key, value = (torch.einsum("btd,hkd->bhtk", x, weights[name]) for name in ("query", "key", "value"))
    y = scaled_dot_product_attention(query, key, value, is_causal=True)
    wanted = torch.einsum("bhtk,dhk->btd", y, weights["out"])
    assert (mixed(x, mixer, weights) - wanted).norm() < 0.02 * wanted.norm()


def test_directions_are_orthogonal_block_by_block() -> None:
    blocks = directions(12, 4, 0, "fixed").view(3, 4, 4)
    torch.testing.assert_close(blocks @ blocks.mT, 4 * torch.eye(4).double().expand(3, 4, 4))
    lengths = torch.stack([directions(4, 4, seed, "chi").square().sum(1) for seed in range(500)])
    assert lengths.mean().item() == pytest.approx(4, rel=0.05)  # χ² of four


def test_another_seed_is_another_draw() -> None:
    weights, x = drawn(Performer()), text()
    assert torch.equal(mixed(x, Performer(), weights), mixed(x, Performer(), weights))
    assert not torch.allclose(mixed(x, Performer(), weights), mixed(x, Performer(seed=1), weights))
