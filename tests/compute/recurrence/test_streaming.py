"""Streaming against PyTorch's softmax in any order, and a Transformer without a cache against one in parallel."""

from math import comb, inf

import torch
from hypothesis import given
from hypothesis import strategies as st

from longspan.compute.recurrence.streaming import NOTHING, StreamingSoftmax, recomputation_calls, without_a_cache

scores_of_keys = st.lists(st.sampled_from([-inf, -1000.0, -1.5, 0.0, 0.3, 2.0, 1000.0]), min_size=1, max_size=8)


def streamed(scores: torch.Tensor, values: torch.Tensor, order: list[int]) -> StreamingSoftmax:
    state = NOTHING
    for place in order:
        state = state.with_key(scores[place], values[place])
    return state


@given(scores_of_keys, st.randoms(use_true_random=False), st.data())
def test_any_order_and_any_split(given_scores: list[float], random, data: st.DataObject) -> None:
    scores = torch.tensor([*given_scores, 0.1], dtype=torch.float64)  # at least one is seen
    values = torch.randn(len(scores), 3, dtype=torch.float64)
    order = list(range(len(scores)))
    random.shuffle(order)
    wanted = scores.softmax(0) @ values
    torch.testing.assert_close(streamed(scores, values, order).output, wanted, rtol=1e-12, atol=1e-12)
    cut = data.draw(st.integers(0, len(order)))
    halves = streamed(scores, values, order[:cut]), streamed(scores, values, order[cut:])
    torch.testing.assert_close(halves[1].merged(halves[0]).output, wanted, rtol=1e-12, atol=1e-12)


@given(st.integers(1, 3), st.integers(1, 5))
def test_nothing_kept_is_the_transformer_in_parallel(layers: int, tokens: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(layers, 2, 4, 4, generator=generator, dtype=torch.float64)
    embedded = torch.randn(tokens, 4, generator=generator, dtype=torch.float64)
    x = embedded
    for matrices in weights:
        scores = (x @ matrices[0] @ x.T).masked_fill(torch.ones(tokens, tokens).triu(1) > 0, -inf)
        x = x + scores.softmax(-1) @ x @ matrices[1]
    steps = [lambda q, k, m=matrices: (q @ m[0] @ k, k @ m[1]) for matrices in weights]
    found = without_a_cache(steps, lambda token: embedded[token - 1], tokens)
    torch.testing.assert_close(found, x[-1], rtol=1e-9, atol=1e-9)


@given(st.integers(0, 4), st.integers(1, 9))
def test_calls_are_counted(layers: int, token: int) -> None:
    def calls(layers: int, token: int) -> int:
        return 1 + sum(calls(layers - 1, other) for other in range(1, token + 1)) if layers else 1

    assert recomputation_calls(layers, token) == calls(layers, token) == comb(token + layers, layers)
    assert recomputation_calls(3, 7) == 120
