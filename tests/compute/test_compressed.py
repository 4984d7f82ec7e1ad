"""Codes against the exact scheme, against a softmax over keys that are written out, and against their own promises."""

from typing import NamedTuple

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longspan.compute.attend import attend
from longspan.compute.cache import Cache
from longspan.compute.compressed import CompressedCache, compression_report
from longspan.compute.dense.memory import lost
from longspan.errors import RefusalError, SchemeError, ShapeError
from longspan.notation import parse


class Three(NamedTuple):
    """Queries, keys and values."""

    query: Tensor
    key: Tensor
    value: Tensor

    def map(self, change) -> "Three":
        return Three(*map(change, self))


def drawn(
    tokens: int, batch: int = 2, heads: int = 4, kv_heads: int = 2, seed: int = 0, distinct: int | None = None
) -> Three:
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, heads, tokens, 8), (batch, kv_heads, tokens, 8), (batch, kv_heads, tokens, 6)
    query, key, value = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    if distinct is not None:
        key = key[:, :, torch.randint(0, distinct, (tokens,), generator=generator)]
    return Three(query, key, value)


def read(cache: CompressedCache, tensors: Three, sizes: list[int]) -> Tensor:
    parts = zip(*(x.split(sizes, 2) for x in tensors), strict=True)
    return torch.cat([cache.attend(*part) for part in parts], 2)


@st.composite
def cuts(draw: st.DrawFn, tokens: int) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < tokens:
        sizes.append(draw(st.integers(1, tokens - sum(sizes))))
    return sizes


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


EXACT = (
    "rerope(window={window})",
    "rope(theta=100) + rerope(window={window}) + log_length(4)",
    "yarn(factor=4, trained_length=16) + rerope(window={window})",
    "rerope(window={window}) + softcap(2) + softmax_plus_one",
)


@pytest.mark.parametrize("text", EXACT)
@settings(max_examples=8)
@given(st.integers(0, 9), st.integers(1, 24))
def test_a_code_for_every_far_key_is_the_scheme_without_a_memory(text: str, window: int, tokens: int) -> None:
    text = text.format(window=window)
    tensors, weights = drawn(tokens), {"normalizer.logit": torch.randn(4)} if "plus_one" in text else {}
    found = attend(*tensors, f"{text} + compressed(codes={tokens})", weights=weights)
    close(found, attend(*tensors, text, weights=weights))


@settings(max_examples=12)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 28), st.data())
def test_no_cut_of_a_text_changes_anything(window: int, codes: int, tokens: int, data: st.DataObject) -> None:
    """As a prompt, token by token, or in parts: what is read, and what is kept."""
    scheme, tensors = f"rerope(window={window}) + log_length(4) + compressed(codes={codes})", drawn(tokens)
    whole, parts = CompressedCache(scheme), CompressedCache(scheme)
    wanted = attend(*tensors, scheme)
    close(read(whole, tensors, [tokens]), wanted)
    close(read(parts, tensors, data.draw(cuts(tokens))), wanted)
    for one, other in zip(whole.rows, parts.rows, strict=True):
        assert one is not None
        assert other is not None
        assert (one.first, one.length) == (other.first, other.length)
        for a, b in zip((*one.codes.tensors, one.keys), (*other.codes.tensors, other.keys), strict=True):
            close(a, b)
    some = data.draw(st.integers(1, tokens))
    close(attend(tensors.query[:, :, -some:], *tensors[1:], scheme), wanted[:, :, -some:])


@settings(max_examples=8)
@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(0, 12), min_size=2, max_size=3), st.booleans())
def test_padding_and_other_rows_change_nothing(window: int, codes: int, before: list[int], middle: bool) -> None:
    """Rows with so many tokens of padding before each text, or after its first token."""
    scheme, tokens = f"rerope(window={window}) + compressed(codes={codes})", 20
    tensors = drawn(tokens, batch=len(before))
    slots = max(before) + tokens
    padding = torch.zeros(len(before), slots, dtype=torch.bool)
    for row, count in enumerate(before):
        padding[row, 1 : 1 + count] = True if middle else padding[row, 1 : 1 + count]
        padding[row, :count] = padding[row, :count] if middle else True
        padding[row, count + tokens :] = True
    filled = tensors.map(lambda x: torch.full((*x.shape[:2], slots, x.shape[3]), 7.0, dtype=x.dtype))
    for made, own in zip(filled, tensors, strict=True):
        for row in range(len(before)):
            made[row][:, ~padding[row]] = own[row]
    cache = CompressedCache(scheme)
    some = slots // 2
    found = torch.cat(
        [
            cache.attend(*filled.map(lambda x: x[:, :, :some]), padding=padding[:, :some]),
            cache.attend(*filled.map(lambda x: x[:, :, some:]), padding=padding[:, some:]),
        ],
        2,
    )
    assert (found.transpose(1, 2)[padding] == 0).all()
    for row in range(len(before)):
        alone = attend(*tensors.map(lambda x, row=row: x[row : row + 1]), scheme)[0]
        close(found[row][:, ~padding[row]], alone)
    close(attend(*filled, scheme, padding=padding), found)


def test_packed_documents_are_read_one_by_one() -> None:
    scheme, tensors = "rerope(window=2) + compressed(codes=2)", drawn(30, batch=1)
    documents = torch.tensor([[0] * 11 + [4] * 19])
    found = attend(*tensors, scheme, documents=documents)
    parts = [attend(*tensors.map(lambda x, some=some: x[:, :, some]), scheme) for some in (slice(0, 11), slice(11, 30))]
    close(found, torch.cat(parts, 2))


@settings(max_examples=12)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 30))
def test_counts_are_the_tokens_that_are_far_and_memory_is_bounded(window: int, codes: int, tokens: int) -> None:
    cache = CompressedCache(f"rerope(window={window}) + compressed(codes={codes})")
    read(cache, drawn(tokens), [tokens])
    far = max(0, tokens // window - 1) * window
    assert cache.length == tokens
    for row in cache.rows:
        assert row is not None
        assert (row.codes.count.sum(-1) == far).all()
        assert row.codes.count.shape[-1] == min(codes, far)
    near, held = 2 * window - 1, codes * (1 + 8 + 6) + 2
    assert cache.nbytes <= 2 * 8 * (2 * (near * (8 + 6) + held) + near)


def test_memory_and_work_of_a_step_do_not_grow() -> None:
    """Counted: the bytes that are held, and the multiplications that PyTorch counts."""
    from torch.utils.flop_counter import FlopCounterMode

    cache, token = CompressedCache("rerope(window=4) + compressed(codes=5)"), drawn(1)
    read(cache, drawn(31), [31])
    seen = []
    for _ in range(2):
        with FlopCounterMode(display=False) as counter:
            cache.attend(*token)
        seen.append((cache.nbytes, counter.get_total_flops()))
        read(cache, drawn(199, seed=1), [199])
    assert seen[0] == seen[1]


def test_more_codes_make_smaller_errors_and_keys_of_few_kinds_none() -> None:
    reports = [
        compression_report(*drawn(400), f"rerope(window=16) + compressed(codes={codes})") for codes in (1, 16, 128, 400)
    ]
    for found in ([each.error for each in reports], *zip(*(each.lost for each in reports), strict=True)):
        assert list(found) == sorted(found, reverse=True)
        assert found[-1] < 1e-12
    report = compression_report(*drawn(400, distinct=20), "rerope(window=16) + compressed(codes=40)")
    assert report.exact_bytes == 400 * 2 * 2 * 14 * 8
    assert report.nbytes < report.exact_bytes / 4


def test_what_is_lost_is_the_distance_from_the_means() -> None:
    """By its definition, from far keys that were never thrown away here."""
    _, key, value = drawn(41, batch=1, kv_heads=1, heads=1)
    cache = CompressedCache("rerope(window=4) + compressed(codes=1)")
    cache.attend(key, key, value)
    (row,) = cache.rows
    assert row is not None
    for found, x in zip(row.codes.lost(), (key[0, 0, :36], value[0, 0, :36]), strict=True):
        assert found == pytest.approx(float((x - x.mean(0)).square().sum() / x.square().sum()))


def test_gradients_pass_through_the_means() -> None:
    tensors = drawn(7, batch=1).map(lambda x: x.requires_grad_())
    scheme = parse("rerope(window=2) + compressed(codes=3)")
    assert torch.autograd.gradcheck(lambda q, k, v: attend(q, k, v, scheme), tuple(tensors), fast_mode=True)


def test_what_has_no_meaning_is_refused() -> None:
    for text, why in (
        ("self_extend(window=4, group=2) + compressed(codes=4)", "write rerope"),
        ("rerope(window=4) + window(8) + compressed(codes=4)", "keeps no far key for window"),
        ("rerope(window=4) + alibi + compressed(codes=4)", "keeps no far key for alibi"),
        ("rerope(window=4) + entmax + compressed(codes=4)", "counts keys in a softmax"),
        ("rerope(window=4) + bidirectional + compressed(codes=4)", "causally"),
        ("rerope(window=4) + compressed(codes=0)", "at least 1"),
    ):
        with pytest.raises(SchemeError, match=why):
            parse(text)
    with pytest.raises(SchemeError, match="changes with length"):
        attend(*drawn(3), "dynamic_ntk(trained_length=8) + rerope(window=4) + compressed(codes=4)")
    with pytest.raises(SchemeError, match="keeps all keys"):
        CompressedCache("rope")
    with pytest.raises(RefusalError, match="use CompressedCache"):
        Cache("rerope(window=4) + compressed(codes=4)")
    with pytest.raises(RefusalError, match="finds codes block by block"):
        attend(*drawn(3), "rerope(window=4) + compressed(codes=4)", backend="tiles")
    with pytest.raises(ShapeError, match="rise by at least 1"):
        attend(*drawn(3), "rerope(window=4) + compressed(codes=4)", key_positions=torch.tensor([0, 1, 1]))
    query, key, value = drawn(3)
    cache = CompressedCache("rerope(window=4) + compressed(codes=4)")
    with pytest.raises(RefusalError, match="no gradients"):
        cache.attend(query.requires_grad_(), key, value)
    query = query.detach()
    with pytest.raises(ShapeError, match="as many queries as keys"):
        cache.attend(query[:, :, :1], key, value)
    cache.attend(query, key, value)
    with pytest.raises(ShapeError, match="go on with"):
        cache.attend(query, key.repeat(1, 2, 1, 1), value.repeat(1, 2, 1, 1))
    with pytest.raises(ShapeError, match="holds 2 rows"):
        cache.attend(query[:1], key[:1], value[:1])


def test_nothing_is_lost_where_nothing_is_far_and_rows_count_by_what_is_far() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, heads, 100, 16, generator=generator) for heads in (4, 2, 2))
    scheme = "rerope(window=16) + compressed(codes=4)"
    short = compression_report(query[:, :, :20], key[:, :, :20], value[:, :, :20], scheme)
    assert short.lost == (0.0, 0.0)
    assert short.error < 1e-6
    assert compression_report(query, key, 0 * value, scheme).error == 0.0
    cache = CompressedCache(scheme)
    hidden = torch.zeros(2, 100, dtype=torch.bool)
    hidden[0, 20:] = True  # a row without far keys beside one that has some
    cache.attend(*(x.expand(2, -1, -1, -1) for x in (query, key, value)), padding=hidden)
    near, far = (row.codes for row in cache.rows if row is not None)
    assert near.lost() == (0.0, 0.0)
    assert lost([near, far]) == far.lost() == compression_report(query, key, value, scheme).lost
    assert min(far.lost()) > 0.1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_padding_in_numbers_is_refused_by_everybody(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """The masks of transformers are 1 where a token is real, and ours are True where it is not."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no checks of annotations
    x, padding = torch.randn(2, 2, 6, 8), torch.zeros(2, 6, dtype=dtype)
    calls = (
        lambda: attend(x, x, x, "rope", padding=padding),
        lambda: Cache("rope").attend(x, x, x, padding=padding),
        lambda: CompressedCache("rerope(window=4) + compressed(codes=3)").attend(x, x, x, padding=padding),
    )
    for call in calls:
        with pytest.raises(ShapeError, match=f"padding must be bool.*got {dtype}.*pass attention_mask == 0"):
            call()
