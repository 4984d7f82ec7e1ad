import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers.cache_utils import DynamicCache

from longspan.pretrained.running import reserved
from longspan.pretrained.running.reserved import ReservedLayer, reserve


def tokens(count: int, seed: int) -> Tensor:
    return torch.randn(2, 3, count, 4, generator=torch.Generator().manual_seed(seed))


def filled(count: int) -> DynamicCache:
    cache = DynamicCache()
    add(cache, count, 0)
    return cache


def add(cache: Any, count: int, seed: int) -> None:
    for layer in range(2):
        keys, values = cache.update(tokens(count, 10 * seed + layer), tokens(count, 10 * seed + 2 + layer), layer)
        assert torch.equal(keys, cache.layers[layer].keys)
        assert torch.equal(values, cache.layers[layer].values)


def held(cache: Any) -> list[Tensor | None]:
    return [getattr(layer, name) for layer in cache.layers for name in ("keys", "values")]


def address(tensor: Tensor | None) -> int:
    assert tensor is not None
    return tensor.untyped_storage().data_ptr()


def alike(first: Any, second: Any) -> bool:
    pairs = zip(held(first), held(second), strict=True)
    return all(a is b is None or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)


STEPS = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 7)),
    st.tuples(st.just("crop"), st.integers(0, 4)),
    st.tuples(st.sampled_from(["swap", "copy", "reset"]), st.just(0)),
)


@given(first=st.integers(1, 6), room=st.integers(0, 12), spare=st.integers(0, 3), steps=st.lists(STEPS, max_size=12))
def test_it_holds_what_a_cache_of_transformers_holds(
    first: int, room: int, spare: int, steps: list[tuple[str, int]]
) -> None:
    """Whatever is added, taken back, reordered or copied, and whether the room suffices or not."""
    theirs: Any = filled(first)
    ours: Any = filled(first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reserved, "SPARE", spare)
        reserve(ours, room)
        assert all(type(layer) is ReservedLayer for layer in ours.layers)
        for number, (step, count) in enumerate(steps, 1):
            if step == "copy":
                left, ours = ours, copy.deepcopy(ours)
                add(left, 2, 99)  # what is written into one is not seen in the other
            for cache in (theirs, ours):
                if step == "add":
                    add(cache, count, number)
                elif step == "crop":
                    cache.crop(-count)
                elif step == "swap":
                    cache.reorder_cache(torch.tensor([1, 0]))
                elif step == "reset":
                    cache.reset()
            assert ours.get_seq_length() == theirs.get_seq_length()
            assert alike(ours, theirs)


@given(first=st.integers(1, 6), parts=st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_within_its_room_nothing_moves(first: int, parts: list[int]) -> None:
    cache = filled(first)
    reserve(cache, first + sum(parts))
    before = list(map(address, held(cache)))
    for number, part in enumerate(parts, 1):
        add(cache, part, number)
        cache.crop(-1)
        add(cache, 1, number)
    assert list(map(address, held(cache))) == before
