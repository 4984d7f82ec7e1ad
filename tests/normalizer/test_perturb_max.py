"""Outside sources: SciPy's integration, and drawing the noise itself."""

from math import pi

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import gumbel_r, norm

from longspan.errors import SchemeError
from longspan.normalizer.perturb_max import PerturbMax


@pytest.mark.parametrize(("keys", "sigma", "seed"), [(2, 0.5, 0), (3, 1.0, 1), (4, 1.3, 2), (6, 3.0, 3)])
def test_is_the_integral(keys: int, sigma: float, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=keys)

    def chance(j: int) -> float:
        others = np.delete(scores, j)
        density = lambda e: norm.pdf(e) * norm.cdf((scores[j] - others) / sigma + e).prod()  # noqa: E731
        return quad(density, -10, 10, epsabs=1e-12, limit=200)[0]

    wanted = torch.tensor([chance(j) for j in range(keys)], dtype=torch.float64)
    found = PerturbMax(sigma, nodes=64)(torch.from_numpy(scores)[None, None, None], {})[0, 0, 0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)


def test_is_how_often_a_key_wins() -> None:
    scores, draws = np.array([1.0, 0.2, -0.5, -2.0]), 400_000
    noise = np.random.default_rng(0).normal(size=(draws, 4)) * 1.3
    shares = np.bincount((scores + noise).argmax(1), minlength=4) / draws
    found = PerturbMax(1.3)(torch.from_numpy(scores)[None, None, None], {})[0, 0, 0].numpy()
    assert np.abs(found - shares).max() < 4 * np.sqrt(0.25 / draws)


def test_gumbel_noise_would_be_softmax() -> None:
    """The identity that the family is named after; and the default has Gumbel's deviation."""
    scores, draws = np.array([1.0, 0.2, -0.5, -2.0]), 400_000
    noise = gumbel_r.rvs(size=(draws, 4), random_state=0)
    shares = np.bincount((scores + noise).argmax(1), minlength=4) / draws
    softmax = np.exp(scores) / np.exp(scores).sum()
    assert np.abs(shares - softmax).max() < 4 * np.sqrt(0.25 / draws)
    assert PerturbMax().sigma == pytest.approx(gumbel_r.std()) == pytest.approx(pi / 6**0.5)


def test_two_keys_are_a_probit() -> None:
    found = PerturbMax(1.0, nodes=64)(torch.tensor([[[[0.7, 0.0]]]], dtype=torch.float64), {})[0, 0, 0, 0]
    assert float(found) == pytest.approx(norm.cdf(0.7 / 2**0.5), abs=1e-6)


def test_a_constant_on_all_scores_changes_nothing() -> None:
    scores = torch.randn(2, 3, 4, 9, dtype=torch.float64)
    torch.testing.assert_close(PerturbMax()(scores + 7, {}), PerturbMax()(scores, {}))


@pytest.mark.parametrize("settings", [{"sigma": 0.0}, {"nodes": 3}])
def test_what_has_no_meaning_is_refused(settings: dict) -> None:
    with pytest.raises(SchemeError):
        PerturbMax(**settings)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gap", [0.5, 1e2, 1e4, 3e5, 1e12])
def test_scores_far_apart_have_gradients(gap: float, dtype: torch.dtype) -> None:
    """That of a probit, which is zero where one of two keys has everything."""
    scores = torch.tensor([[[[0.0, -gap]]]], dtype=dtype, requires_grad=True)
    (found,) = torch.autograd.grad(PerturbMax(1.0, nodes=64)(scores, {})[..., 0].sum(), scores)
    slope = float(norm.pdf(gap / 2**0.5)) / 2**0.5
    assert found[0, 0, 0].tolist() == pytest.approx([slope, -slope], abs=1e-5)
