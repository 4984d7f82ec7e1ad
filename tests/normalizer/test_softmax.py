"""Outside source: SciPy."""

import torch
from scipy.special import softmax

from longspan.normalizer.softmax import Softmax


def test_is_the_softmax_of_scipy() -> None:
    scores = 5 * torch.randn(2, 3, 4, 9, dtype=torch.float64)
    scores[..., 1, 3:] = -torch.inf
    wanted = torch.from_numpy(softmax(scores.numpy(), axis=-1))
    torch.testing.assert_close(Softmax()(scores, {}), wanted)


def test_odds_are_exponentials_of_differences() -> None:
    scores = torch.tensor([[[[0.0, torch.log(torch.tensor(3.0))]]]])
    torch.testing.assert_close(Softmax()(scores, {}), torch.tensor([[[[0.25, 0.75]]]]))
