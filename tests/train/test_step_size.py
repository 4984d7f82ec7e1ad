"""The bound on the average loss of projected SGD, whatever the step sizes, as long as they do not grow.

    (1/T) Σ_t [L_t(θ_t) − L_t(θ*)]  ≤  D² / (2 T η_T) + (G² / (2 T)) Σ_t η_t

D is the diameter of the convex set, G the largest norm of a gradient. Warmup breaks the assumption; what follows it in
`rate_at` does not: cosine and the decay of "wsd" never grow.

Source: Zinkevich 2003, "Online convex programming and generalized infinitesimal gradient ascent"; Su 2023,
kexue.fm/archives/9902.
"""

from dataclasses import replace
from itertools import pairwise
from math import sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longspan.train.optimizers import rate_at
from longspan.train.tables import TrainingTable

RADIUS = 1.0


def averages(rates: list[float], seed: int) -> tuple[float, float]:
    """Absolute-error regression by torch's SGD on a ball: the average loss above that of a fixed θ, and the bound."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(len(rates), 3, generator=generator, dtype=torch.float64)
    inputs /= inputs.norm(dim=1, keepdim=True)  # so that no gradient is longer than G = 1
    best = torch.tensor([0.3, -0.5, 0.2], dtype=torch.float64)
    targets = inputs @ best + 0.3 * torch.randn(len(rates), generator=generator, dtype=torch.float64)
    theta = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer, regret = torch.optim.SGD([theta], lr=1.0), 0.0
    for rate, x, y in zip(rates, inputs, targets, strict=True):
        loss = (x @ theta - y).abs()
        regret += float(loss.detach() - (x @ best - y).abs())
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            theta *= min(1.0, RADIUS / max(1e-12, float(theta.norm())))
    count, diameter = len(rates), 2 * RADIUS
    bound = diameter**2 / (2 * count * rates[-1]) + sum(rates) / (2 * count)
    return regret / count, bound


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
@given(seed=st.integers(0, 10**6), steps=st.integers(5, 200), rate=st.floats(1e-3, 3.0), lowest=st.floats(0.01, 1.0))
def test_the_average_loss_is_within_the_bound(schedule: str, seed: int, steps: int, rate: float, lowest: float) -> None:
    training = TrainingTable(steps=steps, warmup=0, rate=rate, lowest=lowest)
    training = replace(training, schedule=schedule)
    rates = [rate * rate_at(step, training) for step in range(steps)]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(rates))
    found, bound = averages(rates, seed)
    assert found <= bound


def test_the_best_constant_step_is_diameter_over_gradient_and_root() -> None:
    """D / (G √T) makes both terms equal: D G / √T in all; half and twice as large steps have a looser bound."""
    steps = 400
    bounds = [averages([factor * 2 * RADIUS / sqrt(steps)] * steps, 0)[1] for factor in (0.5, 1.0, 2.0)]
    assert bounds[1] == pytest.approx(2 * RADIUS / sqrt(steps))
    assert bounds[1] < min(bounds[0], bounds[2])


def test_the_bound_is_broken_where_steps_grow() -> None:
    """What the assumption excludes: tiny steps that only the last one hides from the first term."""
    rates = [1e-6] * 299 + [1.0]
    found, bound = averages(rates, 1)
    assert found > bound
