"""Leaky ReRoPE is the author's code: interpolated tables, with queries at m + w(k − 1)."""

import numpy as np
import pytest
import torch

from by_hand import BACKENDS, drawn, output, scores, scores_at, tensors
from longspan import Geometry, attend, parse
from longspan.distance.leaky_rerope import LeakyReRoPE
from longspan.distance.rerope import ReRoPE
from longspan.errors import SchemeError

PLACES = 24
GEOMETRY = Geometry(8, 8, 16, trained_length=4096)


def two_passes(q: np.ndarray, k: np.ndarray, window: int, factor: float) -> np.ndarray:
    """As the author's code has it: the second matrix on tables for position / k, queries at m + w(k − 1)."""
    place = np.arange(len(q))
    near = scores(q, k, place, place)
    far = scores(q, k, (place + window * (factor - 1)) / factor, place / factor)
    return np.where(abs(place[:, None] - place) < window, near, far)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("window", "k"), [(5, 16), (8, 3.5), (1, 2), (6, 1 / 16)])
def test_attention_is_the_two_pass_form(backend: str, window: int, k: float) -> None:
    q, key, v = drawn(PLACES)
    out = attend(*tensors(q, key, v), parse(f"leaky_rerope({window}, {k})"), backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, output(two_passes(q, key, window, k), v), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("window", "k"), [(4, 2.0), (0, 4.0), (3, 0.25)])
def test_distance_matrix(window: int, k: float) -> None:
    i, j = np.indices((12, 12))

    def said(r: int) -> float:
        return float(r if abs(r) < window else np.sign(r) * (window + (abs(r) - window) / k))

    wanted = [[said(m - n) for n in range(12)] for m in range(12)]
    assert LeakyReRoPE(window, k)(torch.from_numpy(i), torch.from_numpy(j)).tolist() == wanted


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_directions_are_the_definition(backend: str) -> None:
    """A query before its key: the author's code has only the causal half."""
    q, k, v = drawn(PLACES)
    r = np.subtract.outer(np.arange(PLACES), np.arange(PLACES))
    said = np.where(abs(r) < 5, r, np.sign(r) * (5 + (abs(r) - 5) / 3))
    out = attend(*tensors(q, k, v), "leaky_rerope(5, 3) + bidirectional", backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, output(scores_at(q, k, said), v, np.ones_like(r, dtype=bool)), rtol=0, atol=1e-13)


def test_k_of_one_is_rope() -> None:
    q, k, v = tensors(*drawn(PLACES))
    assert torch.equal(
        attend(q, k, v, "leaky_rerope(5, 1)", backend="reference"), attend(q, k, v, "rope", backend="reference")
    )
    assert LeakyReRoPE(5, 1).changes_nothing(PLACES)
    assert not LeakyReRoPE(5, 2).changes_nothing(PLACES)


def test_a_window_over_the_text_is_rope() -> None:
    q, k, v = tensors(*drawn(PLACES))
    wanted = attend(q, k, v, "rope", backend="reference")
    assert torch.equal(attend(q, k, v, f"leaky_rerope({PLACES - 1}, 2)", backend="reference"), wanted)
    assert LeakyReRoPE(PLACES - 1, 2).changes_nothing(PLACES)
    assert not LeakyReRoPE(PLACES - 2, 2).changes_nothing(PLACES)
    assert not LeakyReRoPE(k=2).changes_nothing(1)


def test_a_large_k_is_rerope() -> None:
    q, k, v = tensors(*drawn(PLACES))
    wanted = attend(q, k, v, "rerope(5)")
    torch.testing.assert_close(attend(q, k, v, "leaky_rerope(5, 1e12)"), wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_window_is_position_interpolation(backend: str) -> None:
    q, k, v = drawn(PLACES)
    place = np.arange(PLACES) / 4
    out = attend(*tensors(q, k, v), "leaky_rerope(0, 4)", backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, output(scores(q, k, place, place), v), rtol=0, atol=1e-13)


def test_fractional_places_are_exact_at_a_million() -> None:
    """int64 / float is float32 in torch, which has no place 1,000,001 / 3."""
    ahead, slow = LeakyReRoPE(1024, 3).branches()[1].query, LeakyReRoPE(1024, 3).branches()[1].key
    difference = ahead(torch.tensor(1_000_001)) - slow(torch.tensor(0))
    assert difference.item() == pytest.approx(1024 + (1_000_001 - 1024) / 3, abs=1e-9)
    assert LeakyReRoPE(1024, 3)(torch.tensor(1_000_001), torch.tensor(0)).dtype == torch.float64


@pytest.mark.parametrize(("length", "k"), [(16384, 15.0), (8192, 7.0), (1024, 1.0), (1025, 1.0)])
def test_fill_keeps_distances_within_half_the_trained_length(length: int, k: float) -> None:
    filled = LeakyReRoPE().fill(GEOMETRY, length)
    assert filled == LeakyReRoPE(1024, k)
    assert filled(torch.tensor(length - 1), torch.tensor(0)).item() <= 2048
    if k > 1:
        smaller = LeakyReRoPE(1024, k - 1)
        assert smaller(torch.tensor(length - 1), torch.tensor(0)).item() > 2048


def test_fill_says_when_no_k_fits() -> None:
    with pytest.raises(SchemeError, match="give k, or a window below 2048"):
        LeakyReRoPE(2048).fill(GEOMETRY, 8192)
    assert LeakyReRoPE(2048, 2).fill(GEOMETRY, 8192) == LeakyReRoPE(2048, 2)
    assert LeakyReRoPE(2048).fill(GEOMETRY, 2049).k == 1
    with pytest.raises(SchemeError, match="give k, or a window below 2048"):
        LeakyReRoPE(2048).fill(GEOMETRY, 2050)


def test_fill_where_one_pair_is_beyond_the_window() -> None:
    """w = 4, and 4 + 1 / k is at most 9 / 2 for k = 2."""
    assert LeakyReRoPE(4).fill(Geometry(8, 8, 16, trained_length=9), 6).k == 2


@pytest.mark.parametrize("given", [{"window": -1}, {"k": 0}, {"k": float("inf")}])
def test_values_out_of_range_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(SchemeError, match="leaky_rerope: "):
        LeakyReRoPE(**given)  # type: ignore[arg-type]


def test_inverse_leaky_is_no_rerope() -> None:
    """Beyond the window distances run ahead of the true ones."""
    said = LeakyReRoPE(128, 1 / 16)(torch.tensor(129), torch.tensor(0))
    assert said.item() == 128 + 16
    assert ReRoPE(128)(torch.tensor(129), torch.tensor(0)).item() == 128
