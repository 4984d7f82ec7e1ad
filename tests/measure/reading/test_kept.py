"""Bytes of a cache, counted by hand, and what codes lose."""

from typing import Any

import pytest
import torch
from transformers import DynamicCache

from longspan.measure.reading.kept import kept
from longspan.pretrained.attach import attached
from longspan.pretrained.running.reserved import reserve
from pretrained.models import in_parts, tiny_llama, tokens


def test_what_a_cache_holds() -> None:
    model, words = tiny_llama().double(), tokens(1, 41)
    assert kept(None) == {}
    cache = DynamicCache(config=model.config)
    in_parts(model, words, [41], cache)
    assert kept(cache) == {"cache_bytes": 2 * 2 * 2 * 16 * 41 * 8}  # layers, keys and values, heads, channels, tokens
    before = kept(cache)
    reserve(cache, 500)
    assert kept(cache) == before
    with attached(model, "rerope(window=4) + compressed(codes=3)"):
        codes = DynamicCache(config=model.config)
        in_parts(model, words, [41], codes)
    near, far = 5 * (2 * 2 * 16 + 1), 2 * (3 * (1 + 16 + 16) + 2)  # 41 = 9 complete blocks of 4 behind, 4 + 1 near
    found = kept(codes)
    assert found["cache_bytes"] == 2 * 8 * (near + far)
    assert len(found["lost"]) == 2
    assert all(0 < share < 1 for share in found["lost"])
    layers: list[Any] = list(codes.layers)
    mean = torch.tensor([layer.state.rows[0].codes.lost() for layer in layers]).double().mean(0)
    assert found["lost"] == pytest.approx(mean.tolist(), rel=1e-5)
