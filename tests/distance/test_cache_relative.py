"""Distances inside a cache: a real cache, filled and evicted token by token, gives the same attention."""

import numpy as np
import pytest
import torch

from by_hand import BACKENDS, drawn, output, scores, tensors
from longspan import Geometry, attend, parse
from longspan.distance.cache_relative import CacheRelative
from longspan.errors import SchemeError

PLACES = 30


def streamed(q: np.ndarray, k: np.ndarray, v: np.ndarray, sinks: int, size: int) -> np.ndarray:
    """Each query against what the cache holds; every key has its index inside the cache as position."""
    rows = []
    for i in range(len(q)):
        held = [j for j in range(i + 1) if j < sinks or j > i - (size - sinks)]
        index = np.arange(len(held))
        score = scores(q[i : i + 1], k[held], index[-1:], index)
        rows.append(output(score, v[held], np.ones_like(score, dtype=bool)))
    return np.concatenate(rows)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("sinks", "size"), [(4, 12), (1, 2), (0, 5), (3, 29), (4, 30), (4, 64)])
def test_attention_is_that_of_a_real_cache(backend: str, sinks: int, size: int) -> None:
    q, k, v = drawn(PLACES)
    text = f"cache_relative({sinks}, {size}) + window({size - sinks}, sinks={sinks})"
    out = attend(*tensors(q, k, v), parse(text), backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, streamed(q, k, v, sinks, size), rtol=0, atol=1e-13)


def test_output_depends_on_the_contents_of_the_cache_only() -> None:
    q, k, v = tensors(*drawn(PLACES))
    scheme = parse("cache_relative(2, 8) + window(6, sinks=2)")
    whole = attend(q[:, :, -1:], k, v, scheme)
    # The same sinks and the same last six tokens, with four tokens fewer evicted in between.
    kept = torch.tensor([*range(2), *range(2 + 4, PLACES)])
    shorter = attend(q[:, :, -1:], k[:, :, kept], v[:, :, kept], scheme)
    torch.testing.assert_close(whole, shorter, rtol=0, atol=1e-13)


def test_an_evicted_token_stands_where_the_gap_is() -> None:
    """Only a missing window lets one through: sinks 0 and 1, the gap at 2, the recent ones at 3 … 7 of a cache of 8."""
    said = CacheRelative(2, 8)(torch.tensor(20), torch.arange(21))
    assert said.tolist() == [7, 6] + 13 * [5] + [5, 4, 3, 2, 1, 0]


def test_a_cache_of_the_whole_text_is_rope() -> None:
    q, k, v = tensors(*drawn(PLACES))
    wanted = attend(q, k, v, "rope")
    torch.testing.assert_close(attend(q, k, v, f"cache_relative(4, {PLACES})"), wanted, rtol=0, atol=1e-13)
    assert CacheRelative(4, PLACES).changes_nothing(PLACES)
    assert not CacheRelative(4, PLACES - 1).changes_nothing(PLACES)


def test_fill_and_refusals() -> None:
    assert CacheRelative().fill(Geometry(8, 8, 16, trained_length=64), 1024) == CacheRelative(4, 64)
    with pytest.raises(SchemeError, match="size must be above sinks = 4, got 4"):
        CacheRelative(4, 4)
    with pytest.raises(SchemeError, match="sinks must be at least 0, got -1"):
        CacheRelative(-1, 4)
    with pytest.raises(SchemeError, match="cache_relative is causal only"):
        parse("cache_relative(4, 8) + bidirectional")
