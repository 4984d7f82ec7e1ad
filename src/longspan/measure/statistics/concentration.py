"""How concentrated scores are: S(a), and what it tends to for keys that are normally distributed.

    S(a) = E|a| / √(E a²) = ‖a‖₁ / (√n ‖a‖₂)        1 where all n are the same, 1/√n where one has everything

S needs no normalizer, so that it compares attention with what stands in for it. For keys k ~ N(μ, σ² I), with β = q·μ
and γ = σ‖q‖, a score q·k is N(β, γ²), and n → ∞:

    softmax            e^{q·k}          exp(−γ²/2): any value, by a larger query
    squared ReLU       max(0, q·k)²     `of_squared_relu`: small where β/γ is far below 0 and nowhere else
    unnormalized       q·k              `of_products`: never below √(2/π) = 0.798
    linear attention   φ(q)·φ(k)        `of_features`: bounded below by the features' spread
    decay              λ^{n−j}          `of_decay`: by position alone, whatever is written there

Source: Su 2023, kexue.fm/archives/9889 ("Looking at the concentration of attention"); its formula for features with the
correction 1/√(1 + Var/E²), which kexue.fm/archives/9595 prints without the square.
"""

from math import erf, exp, pi, sqrt

from jaxtyping import Float
from torch import Tensor


def concentration(scores: Float[Tensor, "*rows keys"]) -> Float[Tensor, "*rows"]:
    """Return S of each row; a row of zeros gives NaN."""
    return scores.abs().sum(-1) / (scores.shape[-1] ** 0.5 * scores.norm(dim=-1))


def of_exponentials(gamma: float) -> float:
    """Return S of e^{q·k}."""
    return exp(-(gamma**2) / 2)


def of_squared_relu(ratio: float) -> float:
    """Return S of max(0, q·k)², given β/γ."""
    falling, reached = exp(-(ratio**2) / 2), erf(ratio / sqrt(2)) + 1
    first = sqrt(2) * ratio * falling + sqrt(pi) * (ratio**2 + 1) * reached
    second = 2 * sqrt(2) * ratio * falling * (ratio**2 + 5) + 2 * sqrt(pi) * (ratio**4 + 6 * ratio**2 + 3) * reached
    return first / (pi**0.25 * sqrt(second))


def of_products(ratio: float) -> float:
    """Return S of q·k, given β/γ."""
    mean = sqrt(2 / pi) * exp(-(ratio**2) / 2) + ratio * erf(ratio / sqrt(2))
    return mean / sqrt(ratio**2 + 1)


def of_features(spread: float, ratio: float) -> float:
    """Return S of φ(q)·φ(k) with independent features of the keys, all of one distribution.

    Arguments:
        spread: standard deviation of a feature over its mean.
        ratio: ‖φ(q)‖₂ / ‖φ(q)‖₁, between 1/√d and 1.
    """
    return 1 / sqrt(1 + (spread * ratio) ** 2)


def of_decay(decay: float, keys: int) -> float:
    """Return S of λ^{n−j}, given λ and n."""
    power = decay**keys
    return sqrt((1 - power) * (1 + decay) / (keys * (1 - decay) * (1 + power)))
