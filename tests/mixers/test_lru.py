"""Outside sources: numpy's complex numbers in a loop, a convolution by FFT, and what the paper derives for γ."""

from math import log, pi
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve
from scipy.special import erf

from longspan.errors import SchemeError
from longspan.mixers.lru import LRU, rates
from mixers.by_formula import drawn, mixed, text


def by_hand(h: np.ndarray, x: np.ndarray, own: dict[str, np.ndarray]) -> np.ndarray:
    """What follows the states."""
    y = (h @ (own["back"][:, 0] + 1j * own["back"][:, 1]).T).real + own["skip"] * x
    g = y * 0.5 * (1 + erf(y / 2**0.5))
    return (g @ own["open"].T) / (1 + np.exp(-(g @ own["shut"].T)))


def test_is_a_convolution() -> None:
    weights, x = drawn(LRU(), off=0.05), text(20, 1)
    own = {name: value.numpy() for name, value in weights.items()}
    rate = np.exp(-np.exp(own["nu"]) + 1j * np.exp(own["theta"]))
    np.testing.assert_allclose(rates(weights).numpy(), rate, rtol=1e-13)
    entering = np.exp(own["gamma"]) * (x[0].numpy() @ (own["in"][0] + 1j * own["in"][1]).T)
    h = fftconvolve(entering, rate ** np.arange(20)[:, None], axes=0)[:20]
    np.testing.assert_allclose(mixed(x, LRU(), weights)[0], by_hand(h, x[0].numpy(), own), rtol=1e-9, atol=1e-11)


def test_starts_inside_its_ring() -> None:
    mixer = LRU(states=2000, nearest=0.9, farthest=0.999, phase=0.3)
    size, angle = rates(mixer.initial_weights(2, 4)).abs(), rates(mixer.initial_weights(2, 4)).angle()
    assert 0.9 <= size.min() <= size.max() <= 0.9991
    assert 0 <= angle.min() <= angle.max() <= 0.3
    assert size.square().mean().item() == pytest.approx((0.81 + 0.999**2) / 2, rel=0.01)  # even in the area


def test_gamma_keeps_states_the_size_of_what_enters() -> None:
    """White input: E|h|² = E|B x|² γ² / (1 − |λ|²) with γ² = 1 − |λ|²; without γ the ring's mean has a closed form."""
    own = LRU(states=4000, nearest=0.5, farthest=0.99).initial_weights(2, 4, torch.Generator().manual_seed(0))
    lasting = 1 / (1 - rates(own).abs().double().square())
    steady = own["gamma"].double().exp().square() * lasting
    torch.testing.assert_close(steady, torch.ones(4000).double(), rtol=1e-3, atol=0)
    wanted = log((1 - 0.25) / (1 - 0.99**2)) / (0.99**2 - 0.25)
    assert lasting.mean().item() == pytest.approx(wanted, rel=0.1)


def test_phases_fill_the_circle_and_projections_keep_the_size_of_what_enters() -> None:
    """White input of size 1: |B x|² and |C h|² are 1 for h of independent real and imaginary parts of size ½ each."""
    own = LRU(states=2000).initial_weights(4, 8, torch.Generator().manual_seed(0))
    assert own["theta"].exp().mean().item() == pytest.approx(pi, rel=0.05)
    assert own["theta"].exp().max().item() == pytest.approx(2 * pi, rel=0.01)
    assert own["back"].shape == (32, 2, 2000)
    assert own["in"].square().sum((0, 2)).mean().item() == pytest.approx(1, rel=0.02)
    assert own["back"].square().sum((1, 2)).mean().item() / 2 == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("draw", [0.0, 1.0])
def test_draws_at_the_edges_of_the_ring_are_numbers(draw: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """λ = 0 has no logarithm, and neither has the γ of |λ| = 1."""
    monkeypatch.setattr("torch.rand", lambda *shape, **_: torch.full(shape, draw))
    own = LRU().initial_weights(2, 4)
    assert all(value.isfinite().all() for value in own.values())
    assert rates(own).abs().max() < 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"nearest": 0.9, "farthest": 0.5}, r"farthest must be above nearest \(0.9\) and at most 1, got 0.5"),
        ({"nearest": 0.5, "farthest": 0.5}, r"farthest must be above nearest \(0.5\) and at most 1, got 0.5"),
        ({"farthest": 1.1}, r"farthest must be above nearest \(0\) and at most 1, got 1.1"),
        ({"nearest": 1.0}, "nearest must be at least 0 and below 1, got 1"),
        ({"nearest": -0.1}, "nearest must be at least 0 and below 1, got -0.1"),
        ({"phase": 0.0}, "phase must be above 0 and at most 2π, got 0"),
        ({"phase": 6.3}, "phase must be above 0 and at most 2π, got 6.3"),
        ({"states": -1}, "states must be at least 0, got -1"),
    ],
)
def test_a_ring_without_area_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SchemeError, match=f"lru: {words}"):
        LRU(**given)
