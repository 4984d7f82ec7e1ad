"""Outside source: PyTorch's normalization of exponentials, and the article's claim (kexue.fm/archives/9105)."""

import torch
from torch.nn.functional import normalize

from longspan.normalizer.l2 import L2


def test_is_the_vector_of_exponentials_at_length_one() -> None:
    scores = torch.randn(2, 3, 4, 9, dtype=torch.float64)
    torch.testing.assert_close(L2()(scores, {}), normalize(scores.exp(), dim=-1))


def test_squares_sum_to_one() -> None:
    squares = L2()(100 * torch.randn(2, 3, 4, 9), {}).square().sum(-1)
    torch.testing.assert_close(squares, torch.ones_like(squares))


def test_is_softmax_of_twice_the_scores_under_a_root() -> None:
    scores = torch.randn(2, 3, 4, 9, dtype=torch.float64)
    torch.testing.assert_close(L2()(scores, {}).square(), (2 * scores).softmax(-1))


def test_follows_from_softmax_and_two_log_sums() -> None:
    scores = torch.randn(2, 3, 4, 9, dtype=torch.float64)
    share = (scores.logsumexp(-1) - (2 * scores).logsumexp(-1) / 2).exp()
    torch.testing.assert_close(L2()(scores, {}), scores.softmax(-1) * share[..., None])


def test_the_sum_tells_how_many_keys_are_seen() -> None:
    """Equal scores: n weights of 1/√n sum to √n."""
    scores = torch.zeros(1, 1, 9, 9, dtype=torch.float64).masked_fill(torch.ones(9, 9).triu(1) > 0, -torch.inf)
    torch.testing.assert_close(L2()(scores, {}).sum(-1)[0, 0], torch.arange(1.0, 10.0, dtype=torch.float64).sqrt())
