"""A cache that reads on: how its keys are kept, what a step has to do, and what it refuses."""

import re
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor

from longspan import Cache, Plan, Scheme, attend, parse
from longspan.compute.decoding import prepare as prepare_module
from longspan.compute.decoding import prepared as prepared_module
from longspan.compute.decoding.prepare import MOST_QUERIES
from longspan.errors import RefusalError, SchemeError, ShapeError
from longspan.rotation.longrope import LongRoPE

KEYS = 1500
NEAR = {
    "rope": 0, "yarn(factor=4, trained_length=400)": 0, "rope + window(100, sinks=3)": 0, "alibi": 0, "xpos": 0,
    "dynamic_ntk(trained_length=400)": 0, "dynamic_ntk(trained_length=1499)": 0,
    "dual_chunk(160, 32)": 0, "cosine + rope": 0, "rerope(100)": 100,
    "leaky_rerope(100, 3)": 100, "self_extend(96, 8)": 96, "rerope(100) + dynamic_ntk(trained_length=400)": 100,
}  # fmt: skip
"""By scheme, how many keys a step rotates."""


def tokens(count: int, batch: int = 1, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(batch, heads, count, 8, dtype=dtype, generator=generator) for heads in (6, 2, 2))
    return query, key, value


def last(x: tuple[Tensor, ...], count: int) -> list[Tensor]:
    return [tensor[:, :, -count:] for tensor in x]


@pytest.mark.parametrize("text", NEAR)
def test_a_step_rotates_the_keys_of_a_window_at_most(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = tokens(KEYS)
    cache = Cache(text)
    cache.attend(*(tensor[:, :, :-1] for tensor in x))
    assert cache._keys is not None
    kept = cache._keys.untyped_storage().data_ptr()
    read = {"where it lies": 0, "copied": 0}
    operation = prepared_module.operation

    def watched(query: Tensor, key: Tensor, *rest: Any, **options: Any) -> tuple[Tensor, Tensor]:
        where = "where it lies" if key.untyped_storage().data_ptr() == kept else "copied"
        read[where] += key.shape[0] * key.shape[2]
        return operation(query, key, *rest, **options)

    wanted = attend(x[0][:, :, -1:], x[1], x[2], text)
    monkeypatch.setattr(prepared_module, "operation", watched)
    torch.testing.assert_close(cache.attend(*last(x, 1)), wanted, rtol=1e-10, atol=1e-10)
    assert read["copied"] == NEAR[text]
    assert read["where it lies"] > 0


@pytest.mark.parametrize("count", [1, MOST_QUERIES])
@pytest.mark.parametrize("left", [0, 30])
def test_what_a_step_has_to_do_is_found_once_for_all_layers(
    count: int, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, padding = tokens(200), torch.arange(200 - count)[None] < left if left else None
    layers = [Cache("leaky_rerope(100, 3)") for _ in range(3)]
    for layer in layers:
        layer.attend(*(tensor[:, :, :-count] for tensor in x), padding=padding)
    layers[0].attend(*last(x, count))
    for finder in ("StepBuilder", "ResidualRotation"):
        monkeypatch.setattr(prepare_module, finder, None)
    outs = [layer.attend(*last(x, count)) for layer in layers[1:]]
    monkeypatch.undo()
    query, key, value = (tensor[:, :, left:] for tensor in x)
    wanted = attend(query, key, value, "leaky_rerope(100, 3)")[:, :, -count:]
    torch.testing.assert_close(outs[0], wanted)
    assert torch.equal(outs[0], outs[1])


def test_learned_numbers_are_read_in_each_step() -> None:
    x, scheme = tokens(40), parse("t5")
    weights = {name: tensor.double() for name, tensor in scheme.initial_weights(6, 8).items()}
    cache = Cache(scheme, weights=weights)
    cache.attend(*(tensor[:, :, :-2] for tensor in x))
    cache.attend(*(tensor[:, :, -2:-1] for tensor in x))
    weights["bias.table"].add_(torch.randn(32, 6).double())
    wanted = attend(x[0], x[1], x[2], scheme, weights=weights)[:, :, -1:]
    torch.testing.assert_close(cache.attend(*last(x, 1)), wanted)


def test_what_is_kept_moves_rarely() -> None:
    x, cache, moves = tokens(200), Cache("rope"), set()
    for t in range(200):
        cache.attend(*(tensor[:, :, t : t + 1] for tensor in x))
        assert cache._keys is not None
        moves.add(cache._keys.data_ptr())
        assert cache._keys.shape[2] <= 1.25 * max(t + 1, 4)
    assert len(moves) <= 25


def test_room_is_used_up_and_given_back() -> None:
    x, cache = tokens(11, batch=2), Cache("rope")
    cache.attend(*(tensor[:, :, :8] for tensor in x))
    kept = cache._keys
    cache.attend(*(tensor[:, :, 8:10] for tensor in x))  # a quarter more than eight
    assert cache._keys is kept
    cache.attend(*(tensor[:, :, 10:] for tensor in x))
    assert cache._keys is not kept
    cache.crop(0)
    alone = [tensor[:1].float() for tensor in x]
    torch.testing.assert_close(cache.attend(*alone), attend(alone[0], alone[1], alone[2], "rope"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("text", ["rope", "dynamic_ntk(trained_length=100)", "xpos", "leaky_rerope(100, 3)"])
def test_reading_on_is_as_exact_as_reading_at_once(text: str, dtype: torch.dtype) -> None:
    """Also where all keys have rotated on four times."""
    low = tokens(KEYS, dtype=dtype)
    exact = attend(low[0].double(), low[1].double(), low[2].double(), text)
    cache = Cache(text)
    parts = [cache.attend(*some) for some in zip(*(tensor.split(30, 2) for tensor in low), strict=True)]
    error, at_once = ((out - exact).abs().mean() for out in (torch.cat(parts, 2), attend(*low, text)))
    assert error <= 2 * at_once


@pytest.mark.parametrize("parts", [[5, 1, 1, 1, 1, 1], [5, 5], [8, 1, 1], [7, 3]])
def test_a_gain_changes_with_the_rotation(parts: list[int]) -> None:
    """Tokens 0 … 7 by one list of factors and the next by another, both with a gain."""
    x, short, long = tokens(10), (1.0, 1.0, 2.0, 2.0), (1.0, 2.0, 3.0, 4.0)
    scheme = Scheme(rotation=LongRoPE(trained_length=8, factor=4, short=short, long=long))
    cache = Cache(scheme)
    found = [cache.attend(*some) for some in zip(*(tensor.split(parts, 2) for tensor in x), strict=True)]
    torch.testing.assert_close(torch.cat(found, 2), attend(x[0], x[1], x[2], scheme))


def test_queries_may_be_fewer_than_keys_and_heads_wider_than_values() -> None:
    query, key, value = tokens(50)
    cache = Cache("rerope(9)", scale=0.2)
    outs = [
        cache.attend(query[:, :, start : start + 1], *(t[:, :, stop - 25 : stop] for t in (key, value[..., :5])))
        for start, stop in ((24, 25), (49, 50))
    ]
    wanted = attend(query, key, value[..., :5], "rerope(9)", scale=0.2)[:, :, [24, 49]]
    torch.testing.assert_close(torch.cat(outs, 2), wanted)


@pytest.mark.parametrize("left", [None, 3])
def test_rows_of_the_batch_are_selected(left: int | None) -> None:
    x, rows = tokens(20, batch=2), torch.tensor([1, 1, 0])
    padding = None if left is None else torch.arange(20) < torch.tensor([[0], [left]])
    cache = Cache("self_extend(6, 2)")
    cache.attend(*(tensor[:, :, :15] for tensor in x), padding=None if padding is None else padding[:, :15])
    cache.select(rows)
    query, key, value = (tensor[rows] for tensor in x)
    wanted = attend(query, key, value, "self_extend(6, 2)", padding=None if padding is None else padding[rows])
    found = [cache.attend(*(tensor[:, :, t : t + 1] for tensor in (query, key, value))) for t in range(15, 20)]
    torch.testing.assert_close(torch.cat(found, 2), wanted[:, :, 15:], rtol=1e-10, atol=1e-10)


def test_a_mistake_reads_nothing() -> None:
    x = tokens(20, batch=2)
    cache = Cache("dynamic_ntk(trained_length=8)")
    cache.attend(*(tensor[:, :, :10] for tensor in x))
    rest = [tensor[:, :, 10:] for tensor in x]
    for wrong, message in (
        ([tensor.float() for tensor in rest], r"must be \(2, 2, 10, 8\) in torch.float64 on cpu as those read before"),
        ([tensor[:1] for tensor in rest], r"got \(1, 2, 10, 8\)"),
        ([rest[0], rest[1][..., :4], rest[2]], r"axis 3 \(head_dim\) of key must be 8"),
        ([rest[0], rest[1], rest[2][..., :4]], r"got \(2, 2, 10, 4\)"),
        ([tensor[:, :, :0] for tensor in rest], "must not be empty"),
        ([torch.cat([rest[0]] * 3, 2), *rest[1:]], "30 queries against 20 keys"),
    ):
        with pytest.raises(ShapeError, match=message):
            cache.attend(*wrong)
    with pytest.raises(ShapeError, match=r"padding must be \(2, 10\), one per new key, got \(2, 9\)"):
        cache.attend(rest[0], rest[1], rest[2], padding=torch.zeros(2, 9, dtype=torch.bool))
    with pytest.raises(ShapeError, match="10 tokens cannot be cropped to 11"):
        cache.crop(11)
    cache.crop(10)
    assert cache.length == 10
    wanted = attend(*x, "dynamic_ntk(trained_length=8)")[:, :, 10:]
    torch.testing.assert_close(cache.attend(*rest), wanted, rtol=1e-10, atol=1e-10)


def test_what_a_cache_cannot_do_is_refused() -> None:
    x = tokens(5)
    with pytest.raises(RefusalError, match="keeps no graph"):
        Cache("rope").attend(x[0].requires_grad_(), x[1], x[2])
    with torch.no_grad():
        Cache("rope").attend(*x)
    with pytest.raises(RefusalError, match=r"bidirectional queries see what comes after them: use attend\(\)"):
        Cache("rope + bidirectional")
    with pytest.raises(RefusalError, match=r"axial has several positions per token, a cache one: use attend\(\)"):
        Cache("axial")
    with pytest.raises(RefusalError, match=r"tiles refuses rope \+ sparsemax"):
        Cache("rope + sparsemax", backend="tiles").attend(*(tensor.detach() for tensor in x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scheme": None}, "scheme must be a Scheme or its text, got None; Scheme.of"),
        ({"scheme": Plan.everywhere(Scheme())}, r"scheme must be .*plan\.layer\(index, num_layers\)"),
        ({"scheme": Scheme().rotation}, r"scheme must be .*Scheme\.of\(part\)"),
        ({"weights": [torch.zeros(2)]}, "weights must map names to tensors, .*got list"),
        ({"weights": {"bias.table": [1.0]}}, "weights must map .*got 'bias.table' for list"),
        ({"scale": "1"}, "scale must be a finite number, got '1'"),
        ({"scale": float("nan")}, "scale must be a finite number, got nan"),
    ],
)
def test_arguments_of_another_type_make_no_cache(
    arguments: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same words as `attend` has; whoever uses the library has no checks of annotations, as the tests do."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(SchemeError, match=message):
        Cache(**{"scheme": "rope", **arguments})


@pytest.mark.parametrize("wrong", ["query", "key", "value", "padding"])
def test_tokens_that_are_no_tensors_are_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    given: dict[str, Any] = dict(zip(("query", "key", "value"), tokens(5), strict=True))
    with pytest.raises(ShapeError, match=f"{wrong} must be a tensor, got list; torch.as_tensor makes one"):
        Cache("rope").attend(**{**given, wrong: [1.0]})


@pytest.mark.parametrize(
    ("text", "weights", "error", "message"),
    [
        ("t5", {}, SchemeError, "t5 learns table: pass weights={'bias.table': ...}"),
        ("t5", {"bias.table": torch.zeros(32, 5)}, ShapeError, "weights['bias.table'] must be (32, 6), got (32, 5)"),
        (
            "t5",
            {"bias.table": torch.zeros(32, 6), "bias.tabel": torch.zeros(32, 6)},
            SchemeError,
            "weights['bias.tabel'] belongs to no part of the scheme; did you mean 'bias.table'?; it learns bias.table",
        ),
        ("rope", {"bias.table": torch.zeros(32, 6)}, SchemeError, "weights['bias.table'] belongs to no part"),
    ],
)
def test_weights_that_do_not_fit_are_refused_at_the_first_call(
    text: str, weights: dict[str, Tensor], error: type[Exception], message: str
) -> None:
    cache = Cache(text, weights=weights)
    with pytest.raises(error, match=re.escape(message)):
        cache.attend(*tokens(5))
    assert cache.length == 0


def test_tensors_of_another_spec_are_checked_in_the_middle_of_a_text() -> None:
    x, cache = tokens(20), Cache("rope")
    cache.attend(*(tensor[:, :, :10] for tensor in x))
    cache.attend(*(tensor[:, :, 10:11] for tensor in x))
    with pytest.raises(RefusalError, match="keeps no graph"):
        cache.attend(x[0][:, :, 11:12].clone().requires_grad_(), x[1][:, :, 11:12], x[2][:, :, 11:12])
    with pytest.raises(ShapeError, match="as those read before, got"):
        cache.attend(*(tensor[:, :, 11:12].float() for tensor in x))
    cache.select(torch.tensor([0, 0]))
    with pytest.raises(ShapeError, match=r"must be \(2, 2, 1, 8\)"):
        cache.attend(*(tensor[:, :, 11:12] for tensor in x))
    assert cache.length == 11


def test_an_empty_cache_takes_tokens_of_another_kind() -> None:
    """Also of another head size, whose frame is another one."""
    x, cache = tokens(20), Cache("xpos")
    cache.attend(*x)
    cache.crop(0)
    query, key, value = (torch.cat([tensor, tensor], 3).float() for tensor in x)
    cache.attend(query[:, :, :19], key[:, :, :19], value[:, :, :19])
    wanted = attend(query, key, value, "xpos")[:, :, -1:]
    torch.testing.assert_close(cache.attend(*last((query, key, value), 1)), wanted)
