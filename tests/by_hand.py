"""Rotary attention by hand: numpy and complex numbers, one document, one head, nothing shared with the library."""

import numpy as np
import torch

THETA = 10000.0
BACKENDS = ("reference", "auto")
"""The definition, and what a caller gets who names none."""


def pairs(x: np.ndarray) -> np.ndarray:
    """(places, d) as (places, d/2) complex numbers: channels i and i + d/2 are one pair."""
    half = x.shape[-1] // 2
    return x[..., :half] + 1j * x[..., half:]


def angles(head_dim: int) -> np.ndarray:
    """Radians per token of each pair."""
    return THETA ** (-2 * np.arange(head_dim // 2) / head_dim)


def scores(q: np.ndarray, k: np.ndarray, a: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Scores of queries rotated to places a and keys rotated to places c."""
    turned_q = pairs(q) * np.exp(1j * np.outer(a, angles(q.shape[-1])))
    turned_k = pairs(k) * np.exp(1j * np.outer(c, angles(q.shape[-1])))
    return np.real(turned_q @ turned_k.conj().T) / q.shape[-1] ** 0.5


def scores_at(q: np.ndarray, k: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Scores at a matrix of said distances, pair by pair."""
    factor = np.exp(1j * distance[..., None] * angles(q.shape[-1]))
    return np.real((pairs(q)[:, None] * pairs(k).conj()[None] * factor).sum(-1)) / q.shape[-1] ** 0.5


def output(score: np.ndarray, v: np.ndarray, keep: np.ndarray | None = None) -> np.ndarray:
    """Softmax attention over the kept pairs, the causal ones where None."""
    keep = np.tril(np.ones_like(score, dtype=bool)) if keep is None else keep
    weight = np.where(keep, np.exp(score - score.max()), 0.0)
    return weight / weight.sum(-1, keepdims=True) @ v


def drawn(places: int, head_dim: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal query, key and value."""
    q, k, v = np.random.default_rng(seed).normal(size=(3, places, head_dim))
    return q, k, v


def tensors(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same as `attend` wants them: batch and heads of one."""
    return torch.from_numpy(q)[None, None], torch.from_numpy(k)[None, None], torch.from_numpy(v)[None, None]
