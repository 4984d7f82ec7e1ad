from itertools import pairwise

import pytest
import torch

from longspan.base_bound import first_negative, safe_theta, similarity, smallest_theta
from longspan.errors import SchemeError

HEAD_DIM = 128


@pytest.mark.parametrize(("theta", "distance"), [(1e4, 1707), (5e5, 18438), (1e6, 27115)])
def test_first_distance_at_which_similar_keys_lose(theta: float, distance: int) -> None:
    assert first_negative(theta, 32768, HEAD_DIM) == distance
    assert first_negative(theta, distance, HEAD_DIM) is None


@pytest.mark.parametrize(
    ("theta", "length", "distance"), [(1.2e4, 2048, 1554), (2.7e4, 4096, 4079), (2.3e5, 16384, 12865)]
)
def test_published_bases_rounded_to_two_digits_are_too_small(theta: float, length: int, distance: int) -> None:
    assert first_negative(theta, length, HEAD_DIM) == distance


@pytest.mark.parametrize(
    ("length", "theta", "published"), [(1024, 4294, 4.3e3), (2048, 11588, 1.2e4), (4096, 26953, 2.7e4)]
)
def test_smallest_theta(length: int, theta: int, published: float) -> None:
    """Against the table of kexue.fm/archives/10122, which has two digits."""
    found = smallest_theta(length, HEAD_DIM)
    assert found == theta
    assert float(f"{found:.1e}") == published


@pytest.mark.parametrize(("length", "rotary_dim"), [(100, 32), (64, 24), (90, 20)])
def test_both_searches_agree_with_trying_every_base(length: int, rotary_dim: int) -> None:
    horizon = 40
    every = range(2, horizon * length + 1)
    good = [theta for theta in every if first_negative(theta, length, rotary_dim) is None]
    after_a_gap = [b for a, b in pairwise(good) if b != a + 1]
    assert after_a_gap, "good and bad bases alternate"
    assert smallest_theta(length, rotary_dim) == good[0]
    assert safe_theta(length, rotary_dim, horizon) == after_a_gap[-1]


@pytest.mark.parametrize(("length", "theta"), [(1024, 6019), (2048, 22765)])
def test_safe_theta(length: int, theta: int) -> None:
    """Below it good and bad bases alternate: at 2048 tokens 11588 is good, 12000 is not, and neither is 22764."""
    assert safe_theta(length, HEAD_DIM) == theta
    assert first_negative(theta, length, HEAD_DIM) is None
    assert first_negative(theta - 1, length, HEAD_DIM) is not None


def test_mean_score_of_similar_keys() -> None:
    """With k = q of unit variance the score at distance r is 2 f(r) on average; a million draws."""
    theta = 10.0
    q = torch.randn(1_000_000, 2, dtype=torch.float64)
    for r in range(4):
        scores = 0
        for frequency in (1.0, theta**-0.5):
            angle = torch.tensor(r * frequency, dtype=torch.float64)
            a, b = q.unbind(1)
            scores = scores + (a * angle.cos() - b * angle.sin()) * a + (b * angle.cos() + a * angle.sin()) * b
        wanted = 2 * similarity(theta, 4, 4)[r].item()
        assert scores.mean().item() == pytest.approx(wanted, abs=0.02)


def test_half_a_head_that_does_not_turn_is_safe_at_any_length() -> None:
    """The rest contributes cos 0 = 1 for each pair: 32 − 17.9 > 0 at the worst of the other half."""
    assert similarity(10000, 32768, HEAD_DIM // 2).min() + HEAD_DIM // 4 > 0


def test_a_single_pair_is_refused() -> None:
    for search in (smallest_theta, safe_theta):
        with pytest.raises(SchemeError, match="at least 4, got 2"):
            search(100, 2)


def test_too_near_a_horizon_is_refused() -> None:
    with pytest.raises(SchemeError, match="raise horizon, now 1"):
        safe_theta(2048, HEAD_DIM, horizon=1)
