"""Outside source: the authors' code in numpy: both sides permuted by their place, r^i on queries, r^{−j} on keys."""

import numpy as np
import pytest
import torch

from longspan.mixers.permuteformer import PermuteFormer, permutations, powers
from mixers.by_formula import drawn, mixed, text


@pytest.mark.parametrize("normalized", [True, False])
def test_is_the_authors_code(normalized: bool) -> None:
    mixer = PermuteFormer(seed=3, normalized=normalized)
    weights, x = drawn(mixer), text()
    query, key, value = (np.einsum("btd,hkd->bhtk", x, weights[name]) for name in ("query", "key", "value"))
    heads, tokens = 2, x.shape[1]
    expanded = [np.tile(np.arange(4), (heads, 1))]
    for _ in range(tokens - 1):
        expanded.append(np.take_along_axis(expanded[-1], permutations(heads, 4, 3).numpy(), -1))
    index = np.stack(expanded, 1)[None].repeat(2, 0)
    ratio = 1 / (1 + np.exp(-(np.arange(heads) / heads * 3 + 2)))
    place = np.arange(tokens)
    query = np.maximum(np.take_along_axis(query, index, -1), 0) + 1e-3
    key = np.maximum(np.take_along_axis(key, index, -1), 0) + 1e-3
    query, key = (query * (ratio[:, None] ** place)[..., None], key * ((1 / ratio)[:, None] ** place)[..., None])
    matrix = np.tril(query @ key.swapaxes(2, 3))
    y = matrix @ value / (matrix.sum(-1, keepdims=True) if normalized else 1)
    wanted = np.einsum("bhtk,dhk->btd", y, weights["out"])
    np.testing.assert_allclose(mixed(x, mixer, weights), wanted, rtol=1e-9, atol=1e-11)


def test_long_texts_do_not_overflow() -> None:
    """r^{−j} of the authors' code is beyond float32 after a thousand tokens: 0.88^{−1000} is 1e55."""
    weights = {name: value.float() for name, value in drawn(PermuteFormer()).items()}
    assert mixed(text(4000, 1).float(), PermuteFormer(), weights).isfinite().all()


def test_powers_are_steps() -> None:
    found, once = powers(2, 5, 0, 9), permutations(2, 5, 0)
    for t in range(8):
        assert torch.equal(found[:, t + 1], found[:, t].gather(1, once))
