"""Codes against the exact cache, against a softmax over keys that are written out, and against their own promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longspan.compute.attend import attend
from longspan.compute.compressed import CompressedCache, compression_report
from longspan.errors import RefusalError, SchemeError, ShapeError

Three = tuple[Tensor, Tensor, Tensor]


def drawn(
    tokens: int, batch: int = 2, heads: int = 4, kv_heads: int = 2, seed: int = 0, distinct: int | None = None
) -> Three:
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, heads, tokens, 8), (batch, kv_heads, tokens, 8), (batch, kv_heads, tokens, 6)
    query, key, value = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    if distinct is not None:
        key = key[:, :, torch.randint(0, distinct, (tokens,), generator=generator)]
    return query, key, value


def read(cache: CompressedCache, tensors: Three, sizes: list[int]) -> Tensor:
    parts = zip(*(x.split(sizes, 2) for x in tensors), strict=True)
    return torch.cat([cache.attend(*part) for part in parts], 2)


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 30), st.data())
def test_a_code_for_every_far_key_is_rerope(window: int, tokens: int, data: st.DataObject) -> None:
    """However the text is cut: as a prompt, token by token, or in parts."""
    sizes: list[int] = []
    while sum(sizes) < tokens:
        sizes.append(data.draw(st.integers(1, tokens - sum(sizes))))
    query, key, value = drawn(tokens)
    found = read(CompressedCache(window=window, codes=tokens), (query, key, value), sizes)
    wanted = attend(query, key, value, f"rerope(window={window})")
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_codes_are_softmax_over_keys_that_are_their_codes() -> None:
    """Written out: every far key replaced by the mean of its cluster, every far value by the mean of theirs."""
    window, codes, tokens = 5, 3, 40
    query, key, value = drawn(tokens, batch=1, heads=1, kv_heads=1)
    cache = CompressedCache(window=window, codes=codes)
    found = read(cache, (query, key, value), [1] * tokens)[0, 0, -1]
    far = key[0, 0, : tokens - window]
    clusters: list[list[int]] = [[0], [1], [2]]
    for token in range(codes, len(far)):
        means = torch.stack([far[some].mean(0) for some in clusters])
        clusters[int((means - far[token]).norm(dim=-1).argmin())].append(token)
    key, value = key.clone(), value.clone()
    for some in clusters:
        key[0, 0, some] = key[0, 0, some].mean(0)
        value[0, 0, some] = value[0, 0, some].mean(0)
    wanted = attend(query, key, value, f"rerope(window={window})")[0, 0, -1]
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 40))
def test_counts_are_the_tokens_that_left_and_memory_is_bounded(window: int, codes: int, tokens: int) -> None:
    cache = CompressedCache(window=window, codes=codes)
    read(cache, drawn(tokens), [tokens])
    left = max(0, tokens - (window - 1))
    if left:
        assert cache.counts is not None
        assert (cache.counts.sum(-1) == left).all()
        assert cache.counts.shape[-1] == min(codes, left)
    assert cache.length == tokens
    assert cache.nbytes <= 2 * 2 * 8 * ((window - 1) * (8 + 6) + codes * (1 + 8 + 6))


def test_memory_and_work_of_a_step_do_not_grow() -> None:
    """Counted: the bytes that are held, and the multiplications that PyTorch counts."""
    from torch.utils.flop_counter import FlopCounterMode

    cache, token = CompressedCache(window=4, codes=5), drawn(1)
    read(cache, drawn(30), [30])
    seen = []
    for _ in range(2):
        with FlopCounterMode(display=False) as counter:
            cache.attend(*token)
        seen.append((cache.nbytes, counter.get_total_flops()))
        read(cache, drawn(200, seed=1), [200])
    assert seen[0] == seen[1]


def test_more_codes_make_smaller_errors_and_keys_of_few_kinds_none() -> None:
    errors = [compression_report(*drawn(400), window=16, codes=codes).error for codes in (1, 16, 128, 400)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-12
    report = compression_report(*drawn(400, distinct=20), window=16, codes=40)
    assert report.exact_bytes == 400 * 2 * 2 * 14 * 8
    assert report.nbytes < report.exact_bytes / 5


def test_another_rotation_and_scale() -> None:
    query, key, value = drawn(20)
    cache = CompressedCache(window=4, codes=20, rotation="rope(theta=100) ", scale=0.7)
    wanted = attend(query, key, value, "rope(theta=100) + rerope(window=4)", scale=0.7)
    torch.testing.assert_close(cache.attend(query, key, value), wanted, rtol=1e-10, atol=1e-10)


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least 1"):
        CompressedCache(window=0, codes=4)
    for rotation in ("rerope(window=4)", "dynamic_ntk(trained_length=8)", "xpos"):
        with pytest.raises(SchemeError):
            CompressedCache(window=4, codes=4, rotation=rotation)
    query, key, value = drawn(3)
    cache = CompressedCache(window=4, codes=4)
    with pytest.raises(RefusalError, match="no gradients"):
        cache.attend(query.requires_grad_(), key, value)
    query = query.detach()
    with pytest.raises(ShapeError, match="as many queries as keys"):
        cache.attend(query[:, :, :1], key, value)
    cache.attend(query, key, value)
    with pytest.raises(ShapeError, match="go on with"):
        cache.attend(query, key.repeat(1, 2, 1, 1), value.repeat(1, 2, 1, 1))
