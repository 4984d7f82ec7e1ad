"""One or few queries over a cache give what the reference gives, and rotate the keys of a window at most."""

import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longspan import attend, parse
from longspan.compute.decoding import pieces as pieces_module
from longspan.compute.decoding import prepare as prepare_module
from longspan.compute.decoding import prepared as prepared_module
from longspan.compute.decoding.build import StepBuilder
from longspan.compute.decoding.pieces import step_pieces
from longspan.compute.decoding.prepare import MOST_QUERIES, prepare_call
from longspan.compute.decoding.prepared import KEYS_PER_THREAD, DecodingStep, Parts
from longspan.compute.dense.reference import reference
from longspan.compute.inputs import Inputs
from longspan.compute.places import places
from longspan.compute.rotate import rotate
from longspan.compute.tiling.lowering import Span
from longspan.memo import forget
from longspan.position_map import ZERO, Divide, Floor, Identity, Modulo, PositionMap

KEYS = 1503
SCHEMES = [
    "rope", "rope(layout=interleaved)", "rerope(100)", "leaky_rerope(100, 3)", "self_extend(96, 8)",
    "rope + window(100)",
    "rope + window(100, sinks=3)", "rope + blockwise(128)", "dual_chunk(160, 32)", "alibi", "kerple_log", "t5",
    "alibi + window(100)", "rerope(100) + alibi", "rerope(100) + bidirectional", "rope + log_length(300)",
    "rope + softmax_plus_one", "yarn(factor=4, trained_length=400)", "dynamic_ntk(trained_length=400)",
    "streaming_llm(4, 100)", "nope + window(5, sinks=2)", "xpos", "xpos(scale_base=64) + window(300)",
]  # fmt: skip


def call(text: str, queries: int, batch: int = 1, keys: int = KEYS, **options: Any) -> Inputs:
    """Grouped queries against keys in float64."""
    generator = torch.Generator().manual_seed(0)
    scheme = parse(text)
    query, key, value = (
        torch.randn(batch, heads, count, 8, dtype=torch.float64, generator=generator)
        for heads, count in ((6, queries), (2, keys), (2, keys))
    )
    weights = {name: tensor.double() + 0.1 for name, tensor in scheme.initial_weights(6, 8, generator).items()}
    return Inputs(query, key, value, scheme, *places(queries, keys, **options), weights, 0.3)


def decode(x: Inputs) -> Tensor | None:
    found = prepare_call(x)
    return None if found is None else found(x.query, x.key, x.value, x.weights)


@pytest.fixture
def threads() -> Any:
    """Four of them, so that keys are read in parts."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("text", ["dynamic_ntk(trained_length=400)", "xpos", "rerope(700)", "xpos + window(200)"])
def test_keys_rotate_chunk_by_chunk(text: str, queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "CHUNK", 512)
    forget()  # what was found with another size must not be found again
    x = call(text, queries)
    found = prepare_call(x)
    forget()
    assert found is not None
    assert isinstance(found.attention, DecodingStep)
    assert max(read.size for read in found.attention.reads if read.rotation is not None) <= 512
    torch.testing.assert_close(found(x.query, x.key, x.value, x.weights), reference(x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("queries", [1, 2, MOST_QUERIES])
@pytest.mark.parametrize("text", SCHEMES)
def test_few_queries_are_the_reference(text: str, queries: int, batch: int, threads: None) -> None:
    x = call(text, queries, batch)
    out = decode(x)
    if text.startswith("dynamic_ntk") and out is None:
        return  # rows on both sides of a change of spectrum
    assert out is not None
    torch.testing.assert_close(out, reference(x), rtol=1e-11, atol=1e-11)


CROSSING = [
    "rope", "rerope(3)", "leaky_rerope(9, 3)", "self_extend(8, 4)", "dual_chunk(12, 3)", "dual_chunk(40, 8)",
    "rope + blockwise(8)", "rope + window(3, sinks=6)", "rope + window(7)", "nope + window(9, sinks=4)",
    "streaming_llm(4, 10)", "alibi", "t5 + window(11)", "kerple_log + dual_chunk(12, 3)", "xpos + window(6)",
    "rope + softmax_plus_one + blockwise(8)", "rope + log_length(8) + window(5)", "rerope(5) + bidirectional",
]  # fmt: skip
"""Schemes whose rows part at chunks, windows and blocks of few keys."""


@pytest.mark.parametrize("text", CROSSING)
@given(data=st.data())
@settings(max_examples=max(5, settings().max_examples // 10))
def test_threads_that_share_keys_change_nothing(text: str, data: st.DataObject) -> None:
    """Any number of threads, any cut of the keys among them, also where a row sees none of one thread's keys."""
    count, threads = data.draw(st.integers(1, 60), label="keys"), data.draw(st.integers(1, 7), label="threads")
    queries = data.draw(st.integers(1, min(count, MOST_QUERIES)), label="queries")
    first = data.draw(st.integers(max(0, count - 12), count - 1), label="first query")
    at = torch.arange(first, first + queries)
    x = call(text, queries, keys=count, query_positions=at)
    x = replace(x, query=4 * x.query - 3, key=x.key + 1)  # low scores: what is not there weighs most
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared_module, "KEYS_PER_THREAD", data.draw(st.integers(1, 9), label="keys per thread"))
        patch.setattr(torch, "get_num_threads", lambda: threads)
        # What was found with another number of keys must not be found again.
        patch.setattr(prepare_module, "prepare", inspect.unwrap(prepare_module.prepare))
        out = decode(x)
    if out is not None:
        torch.testing.assert_close(out, reference(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("text", SCHEMES)
def test_what_is_prepared_for_one_layer_serves_others_with_equal_specs(text: str, queries: int, threads: None) -> None:
    x = call(text, queries)
    found = prepare_call(x)
    if text.startswith("dynamic_ntk") and found is None:
        return  # rows on both sides of a change of spectrum
    assert found is not None
    learned = {name: weight + 0.3 for name, weight in x.weights.items()}
    other = replace(x, query=x.query.flip(3), key=x.key.flip(2), value=x.value.flip(2), weights=learned)
    assert prepare_call(other) is found
    out = found(other.query, other.key, other.value, other.weights)
    torch.testing.assert_close(out, reference(other), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
@pytest.mark.parametrize("keys", [1, 511, 1024, 1025, 4099, 8191])
@pytest.mark.parametrize("threads_", [1, 2, 4, 6])
def test_parts_show_every_key_once(keys: int, heads: int, threads_: int) -> None:
    parts = Parts.of(keys, heads, threads_)
    shown = parts.side_by_side(torch.arange(keys)[None, None, :, None], 0)
    hidden = parts.hidden(torch.float32, torch.device("cpu"))
    shown = shown if hidden is None else shown[hidden.transpose(2, 3) == 0]
    assert torch.equal(shown.flatten(), torch.arange(keys))
    assert parts.number == 1 or parts.number * heads % threads_ == 0 or parts.step < 2 * KEYS_PER_THREAD


@pytest.mark.parametrize("first", [KEYS - 50, KEYS, KEYS + 40])
@pytest.mark.parametrize("text", ["rerope(100)", "alibi", "rope + window(100)", "rerope(100) + bidirectional", "t5"])
def test_queries_may_be_before_or_behind_the_last_keys(text: str, first: int) -> None:
    x = call(text, 3, query_positions=torch.arange(first, first + 3))
    out = decode(x)
    assert out is not None
    torch.testing.assert_close(out, reference(x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("rope", {"queries": MOST_QUERIES + 1}),
        ("rerope(9)", {"key_positions": torch.arange(KEYS) * 2}),
        ("rope + window(5)", {"query_positions": torch.tensor([2 * KEYS])}),
        ("rope + window(5)", {"queries": 4, "query_positions": KEYS + torch.arange(2, 6)}),
        ("rope", {"query_positions": torch.tensor([KEYS + 6]), "key_positions": torch.arange(KEYS)}),
        ("axial", {"key_positions": torch.arange(2 * KEYS).view(1, KEYS, 2)}),
        ("rope + cosine", {}),
        ("rope + l2", {}),
    ],
)
def test_everything_else_goes_the_general_way(text: str, options: dict[str, Any]) -> None:
    x = call(text, options.pop("queries", 1), **options)
    assert decode(x) is None
    out = attend(x.query, x.key, x.value, text, scale=0.3, **options) if options else None
    assert out is None or torch.allclose(out, reference(x))


LEFT, RIGHT = torch.arange(KEYS)[None] < torch.tensor([[0], [777]]), torch.arange(KEYS)[None] >= KEYS - 300
POSITIONS: dict[str, dict[str, Any]] = {
    "left padding": {"padding": LEFT},
    "nothing but padding": {"padding": torch.arange(KEYS)[None] < torch.tensor([[0], [KEYS]])},
    "empty places of a static cache": {"padding": RIGHT, "query_positions": torch.arange(KEYS - 302, KEYS - 300)},
    "documents": {"documents": (torch.arange(KEYS)[None] > torch.tensor([[9], [700]])).long()},
    "documents behind padding": {"padding": LEFT, "documents": (torch.arange(KEYS)[None] > 900).long()},
}


@pytest.mark.parametrize("queries", [1, 2])
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("text", SCHEMES)
def test_rows_may_have_positions_of_their_own(text: str, positions: str, queries: int, threads: None) -> None:
    """Behind padding of their own, in documents of their own: each row gives what it gives alone."""
    options = dict(POSITIONS[positions])
    if "query_positions" in options:
        at = options.pop("query_positions")[-queries:]
        x, last = call(text, queries, 2, **options), at[-1] + 1
        x = replace(x, queries=x.keys.slice(int(at[0]), int(last)))
    else:
        x = call(text, queries, 2, **options)
    out = decode(x)
    assert out is not None
    torch.testing.assert_close(out, reference(x), rtol=1e-11, atol=1e-11)


def test_gradients_go_the_general_way() -> None:
    x = call("rope", 1)
    x.key.requires_grad_()
    assert decode(x) is None
    with torch.no_grad():
        assert decode(x) is not None


FRAMES: dict[str, PositionMap] = {
    "rerope(100)": ZERO,
    "leaky_rerope(100, 3)": Divide(3.0),
    "self_extend(96, 8)": Floor(8),
    "dual_chunk(160, 32)": Modulo(128),
    "rope + window(100, sinks=4)": Identity(),
    "rope": Identity(),
    "alibi": ZERO,
}


@pytest.mark.parametrize("text", FRAMES)
def test_a_cache_in_its_frame_is_read_where_it_lies(text: str, monkeypatch: pytest.MonkeyPatch, threads: None) -> None:
    """At most the keys of the window are copied to be rotated; all other keys and all values are views of the cache."""
    raw, frame = call(text, 1), FRAMES[text]
    spectrum = raw.scheme.rotation.spectrum(8)
    query, key = (
        rotate(x, frame(where.coordinate), spectrum) for x, where in ((raw.query, raw.queries), (raw.key, raw.keys))
    )
    x = Inputs(query, key, raw.value, raw.scheme, raw.queries, raw.keys, raw.weights, 0.3, frame, frame)
    read = {"key": 0, "value": 0, "copied": 0}
    operation = prepared_module.operation

    def watched(q: Tensor, k: Tensor, v: Tensor, *rest: Any, **options: Any) -> tuple[Tensor, Tensor]:
        for name, part, cache in (("key", k, key), ("value", v, raw.value)):
            mine = part.untyped_storage().data_ptr() == cache.untyped_storage().data_ptr()
            read[name if mine else "copied"] += part.shape[0] * part.shape[2]
        return operation(q, k, v, *rest, **options)

    monkeypatch.setattr(prepared_module, "operation", watched)
    out = decode(x)
    assert out is not None
    torch.testing.assert_close(out, reference(raw), rtol=1e-11, atol=1e-11)
    assert read["copied"] <= (0 if text.startswith(("rope", "alibi", "dual")) else 100)
    assert read["key"] + read["copied"] == read["value"]


def test_angles_of_a_window_are_those_of_the_step_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """For whole and for fractional positions; those of a group repeat after a group."""
    for text, period in (("rerope(100)", 1), ("leaky_rerope(100, 3)", 1), ("self_extend(96, 8)", 8)):
        frame = FRAMES[text]
        near = [
            next(piece.rotation for piece in found.pieces if piece.rotation is not None)
            for last in (40_000, 40_000 + period)
            if (found := step_pieces(parse(text), (frame, frame), Span(1, last + 1, last), 8, torch.float64))
            is not None
        ]
        kind = (96, 8, torch.float32, torch.device("cpu"))
        near[0].remembered(*kind)
        monkeypatch.setattr("longspan.compute.decoding.residual.tables", None)  # nothing is computed anew
        near[1].remembered(*kind)
        monkeypatch.undo()


def test_learned_biases_are_read_again_when_they_change() -> None:
    x = call("t5", 1)
    before = decode(x)
    x.weights["bias.table"].copy_(torch.randn(32, 6).double())
    assert before is not None
    after = decode(x)
    assert after is not None
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, reference(x), rtol=1e-11, atol=1e-11)


def test_learned_biases_are_known_by_name() -> None:
    """However the mapping is ordered, and whatever was computed before."""
    x = call("kerple_log", 1)
    big, small = torch.full((6,), 1.5).double(), torch.full((6,), 0.2).double()
    for weights in ({"bias.p": big, "bias.a": small}, {"bias.a": big, "bias.p": small}):
        y = replace(x, weights=weights)
        out = decode(y)
        assert out is not None
        torch.testing.assert_close(out, reference(y), rtol=1e-11, atol=1e-11)


def test_what_a_step_adds_lies_on_its_device() -> None:
    scheme, device = parse("rope + softmax_plus_one"), torch.device("meta")
    of = StepBuilder(scheme, (None, None), Span(1, 12, 11), 0.3, 1, 2, 2, 8, torch.float32, device, False, 1)
    step = of.build()
    assert step is not None
    assert step.numbers is not None
    assert step.numbers.logit is not None
    assert step.numbers.logit.device == device


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("text", ["rope", "rerope(30)", "alibi", "rope + window(30)"])
def test_rows_that_do_not_see_a_bad_number_stay_clean(text: str, bad: float) -> None:
    for where in (KEYS - 2, KEYS - 200):
        for tensor in (0, 1):
            x = call(text, 4)
            (x.key, x.value)[tensor][0, 0, where, 3] = bad
            out = attend(x.query, x.key, x.value, text, scale=0.3)
            sees = parse(text).mask(torch.arange(KEYS - 4, KEYS), torch.tensor(where), True)
            assert out[:, 3:].isfinite().all()  # heads of the other key head
            finite = out[:, :3].isfinite().all(-1).all(1)[0]
            assert finite[~sees].all()
            assert not (finite & sees).any() or bad == float("inf")  # a score of −inf is a weight of zero
