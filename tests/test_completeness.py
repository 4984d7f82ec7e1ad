"""Every relative orthogonal encoding is RoPE seen through a fixed change of channels: docs/completeness.md."""

import numpy as np
import pytest
from scipy.linalg import expm, schur

DIM = 8


def skew(seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(DIM, DIM))
    return x - x.T


def rope(frequencies: np.ndarray, position: int) -> np.ndarray:
    """Interleaved pairs, each turned by position · frequency."""
    turn = np.zeros((DIM, DIM))
    for i, angle in enumerate(position * frequencies):
        turn[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


def pairs(generator: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and the change of channels P: B = P Λ Pᵀ with 2 × 2 blocks on the diagonal of Λ."""
    blocks, change = schur(generator)[:2]
    return np.array([blocks[2 * i + 1, 2 * i] for i in range(DIM // 2)]), change


@pytest.mark.parametrize("seed", range(5))
def test_exponentials_of_a_skew_matrix_are_relative(seed: int) -> None:
    generator = skew(seed)
    for m, n in ((0, 3), (2, 5), (7, 1)):
        product = expm(m * generator).T @ expm(n * generator)
        np.testing.assert_allclose(product, expm((n - m) * generator), atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_a_change_of_channels_turns_them_into_rope(seed: int) -> None:
    generator = skew(seed)
    frequencies, change = pairs(generator)
    rng = np.random.default_rng(seed)
    query, key = rng.normal(size=(2, DIM))
    for m, n in ((0, 3), (2, 5), (7, 1)):
        score = (expm(m * generator) @ query) @ (expm(n * generator) @ key)
        turned = (rope(frequencies, m) @ change.T @ query) @ (rope(frequencies, n) @ change.T @ key)
        np.testing.assert_allclose(turned, score, atol=1e-11)


def test_without_skewness_scores_are_not_relative() -> None:
    """The condition is needed: any other generator stretches."""
    generator = 0.1 * np.random.default_rng(0).normal(size=(DIM, DIM))
    assert np.abs(expm(2 * generator).T @ expm(5 * generator) - expm(3 * generator)).max() > 0.1


def test_the_change_is_not_absorbed_behind_a_feature_map() -> None:
    """With φ(q) = max(q, 0) between projection and rotation, turning the projections by P is another model."""
    generator = skew(0)
    frequencies, change = pairs(generator)
    query, key = np.random.default_rng(1).normal(size=(2, DIM))
    feature = lambda x: np.maximum(x, 0)  # noqa: E731
    score = (expm(2 * generator) @ feature(query)) @ (expm(5 * generator) @ feature(key))
    turned = (rope(frequencies, 2) @ feature(change.T @ query)) @ (rope(frequencies, 5) @ feature(change.T @ key))
    assert abs(turned - score) > 0.1
