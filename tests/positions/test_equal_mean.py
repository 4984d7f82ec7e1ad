"""Equal-mean positions: evenly spaced from 0, ending at a number with the wanted mean and distribution."""

import pytest
import torch
from scipy import stats

from longspan.errors import ShapeError
from longspan.positions.equal_mean import equal_mean


def test_evenly_spaced_from_zero() -> None:
    drawn = equal_mean(9, rows=4)
    assert drawn.dtype == torch.float64
    assert drawn[:, 0].tolist() == 4 * [0.0]
    steps = drawn.diff(dim=1)
    torch.testing.assert_close(steps, steps[:, :1].expand(-1, 8), rtol=1e-12, atol=0)
    assert len(drawn[:, -1].unique()) == 4


def test_the_last_token_is_exponential() -> None:
    last = equal_mean(512, rows=5000)[:, -1].numpy()
    assert stats.kstest(last, stats.expon(scale=512).cdf).pvalue > 0.01


def test_the_last_token_is_beta_under_a_span() -> None:
    last = equal_mean(512, mean=512, span=2048, rows=5000)[:, -1].numpy()
    assert last.max() <= 2048
    assert stats.kstest(last / 2048, stats.beta(1, 3).cdf).pvalue > 0.01


@pytest.mark.parametrize("span", [None, 300.0, 5000.0])
def test_the_mean_is_kept(span: float | None) -> None:
    last = equal_mean(10, mean=200, span=span, rows=100_000)[:, -1]
    assert last.mean().item() == pytest.approx(200, rel=0.02)


def test_a_span_below_the_mean_is_refused() -> None:
    with pytest.raises(ShapeError, match="span must be above the mean 512, got 512"):
        equal_mean(512, span=512)
