"""Outside source: Su's formula relu(q kᵀ / √s)² / n in NumPy (kexue.fm/archives/8934)."""

import numpy as np
import torch

from longspan import attend
from longspan.normalizer.squared_relu import SquaredReLU


def test_is_the_formula_of_the_article() -> None:
    query, key, value = torch.randn(3, 9, 8, dtype=torch.float64)
    weights = np.maximum(query.numpy() @ key.numpy().T / np.sqrt(8), 0) ** 2 / 9
    ours = attend(query[None, None], key[None, None], value[None, None], "squared_relu + bidirectional")
    torch.testing.assert_close(ours[0, 0], torch.from_numpy(weights @ value.numpy()))


def test_divides_by_the_keys_that_are_seen() -> None:
    scores = torch.full((1, 1, 4, 4), 3.0).masked_fill(torch.ones(4, 4).triu(1) > 0, -torch.inf)
    wanted = (9 / torch.arange(1.0, 5.0)[:, None]).expand(4, 4).tril()
    assert torch.equal(SquaredReLU()(scores, {})[0, 0], wanted)


def test_negative_scores_count_as_seen_and_weigh_nothing() -> None:
    scores = torch.tensor([[[[-1.0, 2.0, 0.0, -torch.inf]]]])
    torch.testing.assert_close(SquaredReLU()(scores, {}), torch.tensor([[[[0.0, 4 / 3, 0.0, 0.0]]]]))
