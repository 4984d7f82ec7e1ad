"""Outside source: SciPy."""

import pytest
import torch
from scipy.special import softmax
from torch.nn.functional import scaled_dot_product_attention

from longspan import attend
from longspan.errors import RefusalError
from longspan.normalizer.softmax import Softmax


def test_is_the_softmax_of_scipy() -> None:
    scores = 5 * torch.randn(2, 3, 4, 9, dtype=torch.float64)
    scores[..., 1, 3:] = -torch.inf
    wanted = torch.from_numpy(softmax(scores.numpy(), axis=-1))
    torch.testing.assert_close(Softmax()(scores, {}), wanted)


def test_is_served_in_tiles() -> None:
    """Merged by log-sum-exp, which is right for sums of exponentials alone; anything else is refused there."""
    query, key, value = torch.randn(3, 1, 2, 9, 8, dtype=torch.float64)
    wanted = scaled_dot_product_attention(query, key, value, is_causal=True)
    torch.testing.assert_close(attend(query, key, value, "softmax + window(9)", backend="tiles"), wanted)
    with pytest.raises(RefusalError):
        attend(query, key, value, "sparsemax", backend="tiles")


def test_odds_are_exponentials_of_differences() -> None:
    scores = torch.tensor([[[[0.0, torch.log(torch.tensor(3.0))]]]])
    torch.testing.assert_close(Softmax()(scores, {}), torch.tensor([[[[0.25, 0.75]]]]))
