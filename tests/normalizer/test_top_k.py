"""Outside sources: sorting in numpy; softmax where every key is kept."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import SchemeError
from longspan.normalizer.top_k import TopK


@given(st.integers(1, 12), st.integers(0, 10**6))
def test_keeps_the_largest_by_sorting(k: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(6, 9))
    kept = np.argsort(-scores, axis=1) < 0
    for row, order in enumerate(np.argsort(-scores, axis=1)[:, :k]):
        kept[row, order] = True
    wanted = np.where(kept, np.exp(scores), 0)
    found = TopK(k)(torch.from_numpy(scores)[None, None], {})[0, 0]
    torch.testing.assert_close(found, torch.from_numpy(wanted / wanted.sum(1, keepdims=True)), rtol=1e-12, atol=0)


@given(st.permutations(range(5)))
def test_ties_do_not_ask_for_the_order_of_keys(order: list[int]) -> None:
    scores = torch.tensor([3.0, 1.0, 1.0, 1.0, 0.0])[order]
    found = TopK(2)(scores[None, None, None], {})[0, 0, 0]
    torch.testing.assert_close(found, torch.tensor([3.0, 1, 1, 1, -torch.inf]).softmax(0)[order])


def test_enough_keys_are_softmax() -> None:
    scores = torch.randn(2, 3, 4, 9)
    assert torch.equal(TopK(9)(scores, {}), scores.softmax(-1))


def test_a_constant_on_all_scores_changes_nothing() -> None:
    scores = torch.randn(2, 3, 4, 9, dtype=torch.float64)
    torch.testing.assert_close(TopK(3)(scores + 7, {}), TopK(3)(scores, {}))


def test_no_key_is_refused() -> None:
    with pytest.raises(SchemeError, match="at least 1"):
        TopK(0)
