"""A cache that reads a text in parts is attention to all of it at once, for every method."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from contract.drawing import HEAD_DIM, PARTS, PER_METHOD, Shape, initial_weights, paddings, schemes, tensors
from longspan.compute.cache import Cache
from longspan.compute.decoding import frame as frame_module
from longspan.compute.decoding import pieces as pieces_module
from longspan.compute.decoding import prepared as prepared_module
from longspan.compute.decoding import reframe as reframe_module
from longspan.compute.dense.reference import reference
from longspan.compute.inputs import Inputs
from longspan.compute.places import places
from longspan.errors import RefusalError
from longspan.memo import forget
from longspan.scheme import Scheme


def read(cache: Cache, parts: list[int], x: tuple[Tensor, Tensor, Tensor], padding: Tensor | None) -> Tensor:
    """The outputs of parts of so many tokens."""
    outs, first = [], 0
    for count in parts:
        some = slice(first, first + count)
        hidden = None if padding is None or not padding[:, some].any() else padding[:, some]
        outs.append(cache.attend(x[0][:, :, some], x[1][:, :, some], x[2][:, :, some], padding=hidden))
        first += count
    return torch.cat(outs, 2)


@contextmanager
def small(threads: int = 1) -> Iterator[None]:
    """Several chunks, blocks and runs in few tokens, and threads that share them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reframe_module, "CHUNK", 5)
        patch.setattr(frame_module, "LONGEST_BLOCK", 8)
        patch.setattr(pieces_module, "LONG_RUN", 2)
        patch.setattr(prepared_module, "KEYS_PER_THREAD", 3)
        patch.setattr(torch, "get_num_threads", lambda: threads)
        forget()
        yield
    forget()  # what was found with these numbers must not be found again


def has_no_cache(scheme: Scheme) -> bool:
    return not scheme.direction.causal or scheme.rotation.num_axes > 1


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_parts_are_the_whole(name: str, device: torch.device, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    if has_no_cache(scheme):
        with pytest.raises(RefusalError, match=r"use attend\(\)"):
            Cache(scheme)
        return
    parts = data.draw(st.lists(st.sampled_from([1, 1, 2, 3, 9, 20]), min_size=1, max_size=6))
    batch, kv_heads, group = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3))
    count = sum(parts)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    padding = data.draw(paddings(batch, count))
    padding = None if padding is None else padding.to(device)
    x = [t.to(device) for t in tensors(Shape(batch, kv_heads, group, count, count), torch.float64, generator)]
    weights = {n: t.to(device) for n, t in initial_weights(scheme, kv_heads * group, generator).items()}
    crop = data.draw(st.integers(max(0, count - 4), count - 1))
    rows = torch.tensor(data.draw(st.lists(st.integers(0, batch - 1), min_size=1, max_size=3)), device=device)
    with small(data.draw(st.sampled_from([1, 2, 4, 7]))):
        cache = Cache(scheme, weights=weights)
        out = read(cache, parts, (x[0], x[1], x[2]), padding)
        cache.crop(crop)
        cache.select(rows)
        query, key, value = (t[rows, :, crop:] for t in x)
        hidden = None if padding is None else padding[rows, crop:]
        rest = read(cache, [1] * (count - crop), (query, key, value), hidden)
    where = places(count, count, padding=padding, device=device)
    wanted = reference(Inputs(x[0], x[1], x[2], scheme, *where, weights, HEAD_DIM**-0.5))
    torch.testing.assert_close(out, wanted, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(rest, wanted[rows, :, crop:], rtol=1e-10, atol=1e-10)
