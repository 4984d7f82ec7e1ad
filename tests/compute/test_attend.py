"""`attend`: what it accepts, what it refuses and how it says so; bad numbers spread no further than they must."""

from dataclasses import replace
from itertools import product
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from longspan import Cache, Plan, Scheme, attend, parse
from longspan.compute.attend import Tiled, plan
from longspan.compute.dense.reference import reference
from longspan.compute.inputs import Inputs
from longspan.compute.places import Places, places
from longspan.compute.rotate import rotate
from longspan.compute.tiling import softmax
from longspan.errors import RefusalError, SchemeError, ShapeError
from longspan.position_map import ZERO, Divide, Floor, Identity, PositionMap
from longspan.rotation.rope import RoPE

X = torch.randn(2, 4, 6, 8)


def test_plain_causal_attention_is_pytorch() -> None:
    q, k, v = torch.randn(3, 2, 4, 50, 16, dtype=torch.float64)
    for backend in ("auto", "tiles", "blocks", "reference"):
        out = attend(q, k, v, Scheme(), backend=backend)
        torch.testing.assert_close(out, scaled_dot_product_attention(q, k, v, is_causal=True))
    grouped = attend(q, k[:, :2], v[:, :2], "bidirectional", scale=0.3)
    wanted = scaled_dot_product_attention(q, k[:, :2], v[:, :2], enable_gqa=True, scale=0.3)
    torch.testing.assert_close(grouped, wanted)


@pytest.mark.parametrize("queries", [700, 300, 65])
@pytest.mark.parametrize(
    "text",
    ["rope + window(100)", "rope + window(100, sinks=3)", "rerope(100)", "leaky_rerope(100, 4)", "self_extend(96, 8)",
     "rope + blockwise(128)", "dual_chunk(160, 32)", "alibi + window(100)", "alibi", "rerope(100) + bidirectional",
     "rope + window(60) + bidirectional", "dynamic_ntk(trained_length=200)", "xpos(scale_base=16)",
     "lm_infinite(100, sinks=4)", "streaming_llm(4, 100)",
     "rope + shaw(16)", "rerope(100) + shaw(70) + bidirectional", "rope + window(40, sinks=2) + shaw(9) + l2",
     "shaw(0)", "shaw(1) + bidirectional + softmax_plus_one", "rope + urpe(90)", "rerope(100) + urpe(30) + l2",
     "alibi + urpe(30) + bidirectional", "rope + window(100, sinks=3) + urpe(20) + softmax_plus_one", "urpe(0)",
     "alibi + l2", "rope + l2 + bidirectional + log_length(50)"],
)  # fmt: skip
def test_whole_strips_and_triangles_are_the_reference(text: str, queries: int) -> None:
    """Long enough for several blocks of every shape; outputs and gradients, for all queries and for the last ones."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, heads, 700, 8, dtype=torch.float64, generator=generator) for heads in (4, 2, 2))
    weights = parse(text).initial_weights(4, 8, generator)
    weights = {name: x.double() + torch.randn(x.shape, generator=generator) for name, x in weights.items()}
    tensors = [x.requires_grad_() for x in (q[:, :, -queries:].clone(), k, v, *weights.values())]
    q, k, v, *_ = tensors
    out, wanted = (attend(q, k, v, text, weights=weights, backend=backend) for backend in ("tiles", "reference"))
    torch.testing.assert_close(out, wanted, rtol=1e-11, atol=1e-11)
    grads, wanted_grads = (torch.autograd.grad(x.square().sum(), tensors) for x in (out, wanted))
    for given, plain in zip(grads, wanted_grads, strict=True):
        torch.testing.assert_close(given, plain, rtol=1e-10, atol=1e-10)


def test_values_may_be_wider_or_narrower_than_queries() -> None:
    q, k = torch.randn(2, 1, 2, 20, 16, dtype=torch.float64)
    for width in (4, 40):
        v = torch.randn(1, 2, 20, width, dtype=torch.float64)
        out = attend(q, k, v, "rope + window(5)")
        torch.testing.assert_close(out, attend(q, k, v, "rope + window(5)", backend="reference"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": X[0]}, r"query and key must be \(batch, heads, tokens, head_dim\)"),
        ({"key": X[:, :3], "value": X[:, :3]}, "multiple of key heads, got 4 for 3"),
        ({"key": X[..., :4]}, r"axis 3 \(head_dim\) of key must be 8 as in query, got 4"),
        ({"key": X[:1], "value": X[:1]}, r"axis 0 \(batch\) of key must be 2 as in query, got 1"),
        ({"value": X[:, :, :5]}, "value must start with"),
        ({"value": X.double()}, "share dtype and device"),
        ({"key": X[:, :, :5], "value": X[:, :, :5]}, "6 queries against 5 keys"),
        ({"query": X[:, :, :0]}, "query must not be empty"),
        ({"query": X.long(), "key": X.long(), "value": X.long()}, "floating point"),
        ({"padding": torch.zeros(2, 5, dtype=torch.bool)}, r"padding must be \(batch, 6\)"),
        ({"documents": -torch.ones(1, 6, dtype=torch.long)}, "numbered from 0"),
        ({"documents": torch.full((1, 6), 0.5)}, "numbered from 0 up, without fractions"),
        (
            {"documents": torch.zeros(3, 6).long(), "padding": torch.zeros(2, 6).bool()},
            "all as many: documents has 3, padding has 2",
        ),
        ({"key_positions": torch.arange(6).expand(3, 6), "padding": torch.zeros(2, 6).bool()}, "key_positions has 3"),
        ({"key_positions": torch.full((6,), torch.nan)}, "key_positions must be real and finite"),
        ({"key_positions": torch.full((6,), torch.inf), "scheme": "dynamic_ntk(trained_length=4)"}, "real and finite"),
        ({"key_positions": torch.ones(6, dtype=torch.complex64)}, "key_positions must be real and finite"),
        (
            {"value": X[..., :3], "scheme": "shaw(clip=2)", "weights": parse("shaw(clip=2)").initial_weights(4, 8)},
            "shaw adds vectors of 8 channels to values: values must be as wide as keys, got 3 channels",
        ),
        ({"key_positions": torch.arange(5)}, r"key_positions must be \(batch, 6\)"),
        ({"query_positions": torch.arange(6.0)}, "need key_positions too"),
        ({"scheme": "axial"}, "axial needs 2 coordinates per token"),
    ],
)
def test_shapes_that_do_not_fit(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        attend(**{"query": X, "key": X, "value": X, "scheme": "rope", **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scheme": None}, SchemeError, "scheme must be a Scheme or its text, got None; Scheme.of"),
        ({"scheme": 3}, SchemeError, "scheme must be a Scheme or its text, got 3"),
        ({"scheme": Plan.everywhere(Scheme())}, SchemeError, r"scheme must be .*plan\.layer\(index, num_layers\)"),
        ({"scheme": RoPE}, SchemeError, "scheme must be a Scheme or its text, got <class"),
        ({"scheme": RoPE()}, SchemeError, r"scheme must be .*Scheme\.of\(part\)"),
        ({"query": X.tolist()}, ShapeError, "query must be a tensor, got list"),
        ({"key": X.numpy()}, ShapeError, "key must be a tensor, got ndarray"),
        ({"value": None}, ShapeError, "value must be a tensor, got NoneType"),
        ({"padding": [[True] * 6]}, ShapeError, "padding must be a tensor, got list"),
        ({"key_positions": range(6)}, ShapeError, "key_positions must be a tensor, got range"),
        ({"weights": [X]}, SchemeError, "weights must map names to tensors, .*got list"),
        ({"weights": X}, SchemeError, "weights must map names to tensors, .*got Tensor"),
        ({"weights": {"bias.table": [1.0]}}, SchemeError, "weights must map .*got 'bias.table' for list"),
        ({"scale": "1"}, SchemeError, "scale must be a finite number, got '1'"),
        ({"scale": float("nan")}, SchemeError, "scale must be a finite number, got nan"),
        ({"backend": 3}, RefusalError, "unknown backend 3; there are reference, blocks, tiles, triton"),
        ({"backend": ["tiles"]}, RefusalError, "unknown backend .*there are"),
        ({"backend": None}, RefusalError, "unknown backend None"),
    ],
)
def test_arguments_of_another_type(
    arguments: dict[str, Any], error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever uses the library has no checks of annotations, as the tests do."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(error, match=message) as refused:
        attend(**{"query": X, "key": X, "value": X, "scheme": "rope", **arguments})
    assert "\n" not in str(refused.value)


def test_learned_numbers_must_be_given_and_fit() -> None:
    with pytest.raises(SchemeError, match=r"t5 learns table: pass weights=\{'bias.table'"):
        attend(X, X, X, "t5")
    with pytest.raises(ShapeError, match=r"weights\['bias.table'\] must be \(32, 4\), got \(32, 3\)"):
        attend(X, X, X, "t5", weights={"bias.table": torch.zeros(32, 3)})


def test_backends_refuse_by_name_with_reason_and_remedy() -> None:
    with pytest.raises(RefusalError, match=r"unknown backend 'tilse'; did you mean 'tiles'"):
        attend(X, X, X, "rope", backend="tilse")
    with pytest.raises(RefusalError, match=r"tiles refuses rope \+ sparsemax: .*backend=\"blocks\" accepts it"):
        attend(X, X, X, "rope + sparsemax", backend="tiles")
    gaps = torch.tensor([0, 1, 2, 9, 10, 11])
    with pytest.raises(RefusalError, match="coordinates do not step by one"):
        attend(X, X, X, "rerope(2)", key_positions=gaps, backend="tiles")


@pytest.mark.parametrize("text", ["rope", "yarn(factor=4, trained_length=8)", "rerope(3)", "leaky_rerope(3, 2)",
                                  "self_extend(4, 2)", "dual_chunk(8, 2)", "rope + window(4, sinks=1)",
                                  "xpos(scale_base=4)"])  # fmt: skip
@pytest.mark.parametrize("queries", [1, 3, 20])
def test_inputs_may_come_rotated(text: str, queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries and keys that a frame has rotated, with gain and decay, give the same output, whatever the frames."""
    scheme = parse(text)
    q, k, v = torch.randn(3, 1, 2, 20, 8, dtype=torch.float64)
    query_places, key_places = places(queries, 20)
    raw = Inputs(q[:, :, -queries:], k, v, scheme, query_places, key_places, {}, 0.3)
    spectrum = scheme.rotation.spectrum(8)

    def tiled(x: Inputs) -> Tensor:
        found = plan(x)
        assert isinstance(found, Tiled)
        return found()

    def rotated(x: Tensor, at: Places, frame: PositionMap | None, grows: int) -> Tensor:
        if frame is None:
            return x
        mapped = frame(at.coordinate)
        return rotate(x, mapped, spectrum, -grows * mapped[..., 0] if spectrum.decays else None)

    monkeypatch.setattr(softmax, "decay_span", lambda *_: 4)  # several origins in few tokens
    frames: list[PositionMap | None] = [None, Identity(), ZERO, Floor(4), Divide(3.0)]
    for a, b in product(frames, frames):
        query, key = rotated(raw.query, query_places, a, -1), rotated(raw.key, key_places, b, 1)
        x = replace(raw, query=query, key=key, query_frame=a, key_frame=b)
        for out in (reference(x), tiled(x)):
            torch.testing.assert_close(out, reference(raw), rtol=1e-11, atol=1e-11)


def test_a_frame_needs_frequencies_that_stay() -> None:
    where = places(6, 6)
    with pytest.raises(SchemeError, match="pass queries and keys that are not rotated yet"):
        Inputs(X, X, X, parse("dynamic_ntk(trained_length=4)"), *where, {}, 1.0, None, Identity())
    with pytest.raises(SchemeError, match="shaw multiplies vectors with queries: pass queries that are not rotated"):
        Inputs(X, X, X, parse("rope + shaw"), *where, parse("shaw").initial_weights(4, 8), 1.0, Identity())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("text", ["rope", "rerope(5)", "rope + window(5)", "alibi", "rope + window(5, sinks=2)"])
def test_bad_numbers_spread_no_further_than_in_plain_attention(text: str, bad: float) -> None:
    """Rows before a bad token stay clean wherever plain causal attention keeps them clean; its own row shows it."""
    for where in range(3):
        q, k, v = tensors = torch.randn(3, 1, 1, 40, 8)
        tensors[where, 0, 0, 20, 3] = bad
        plain = scaled_dot_product_attention(q, k, v, is_causal=True)
        for backend in ("tiles", "blocks", "reference"):
            out = attend(q, k, v, text, backend=backend)
            assert not (out.isfinite() < plain.isfinite())[:, :, :20].any()
            assert not out[0, 0, 20].isfinite().all()


@pytest.mark.parametrize("backend", ["auto", "blocks", "reference"])
@pytest.mark.parametrize("count", [1, 5, 8, 20])
@pytest.mark.parametrize("text", ["rope", "rope + window(2)", "rope + softmax_plus_one", "entmax", "sparsemax + rope"])
def test_a_nan_is_neither_hidden_nor_spread(text: str, count: int, backend: str) -> None:
    """Of the first key: all rows that see it. Of the last value: the last row alone."""
    q, k, v = torch.randn(3, 1, 1, count, 8)
    clean, sees = attend(q, k, v, text, backend=backend), parse(text).mask(torch.arange(count), torch.tensor(0), True)
    first, last = k.clone(), v.clone()
    first[..., 0, 3] = last[..., -1, 3] = torch.nan
    out = attend(q, first, v, text, backend=backend)
    assert torch.equal(out.isnan().any(-1)[0, 0], sees)
    torch.testing.assert_close(out[:, :, ~sees], clean[:, :, ~sees])
    out = attend(q, k, last, text, backend=backend)
    assert out[:, :, -1].isnan().any()
    torch.testing.assert_close(out[:, :, :-1], clean[:, :, :-1])


@pytest.mark.parametrize("text", ["nope", "rerope(5)", "alibi + window(4)"])
@pytest.mark.parametrize("queries", [30, 1])
def test_channels_need_not_lie_side_by_side(text: str, queries: int) -> None:
    q, k, v = torch.randn(3, 1, 2, 8, 30, dtype=torch.float64).mT
    q = q[:, :, -queries:]
    torch.testing.assert_close(attend(q, k, v, text), attend(q, k, v, text, backend="reference"))


@pytest.mark.parametrize("text", ["rope", "rope + window(3, sinks=2)", "rerope(2)"])
def test_the_shortest_calls_show_a_query_that_is_no_number(text: str) -> None:
    """The kernel's vectors are longer than these rows of scores."""
    for count in (3, 10):
        q, k, v = torch.randn(3, 1, 1, count, 8)
        q[0, 0, 2, 3] = float("nan")
        finite = attend(q, k, v, text, backend="tiles").isfinite().all(-1)[0, 0]
        assert finite.tolist() == [row != 2 for row in range(count)]


@pytest.mark.parametrize("text", ["rerope(5)", "alibi", "rope + sparsemax"])
def test_gradient_checkpointing_changes_nothing(text: str) -> None:
    q, k, v = tensors = [torch.randn(1, 2, 30, 8, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    wanted = torch.autograd.grad(attend(q, k, v, text).square().sum(), tensors)
    out = checkpoint(lambda q, k, v: attend(q, k, v, text), q, k, v, use_reentrant=False)
    assert isinstance(out, torch.Tensor)
    for given, plain in zip(torch.autograd.grad(out.square().sum(), tensors), wanted, strict=True):
        torch.testing.assert_close(given, plain, rtol=0, atol=0)


def test_documents_and_positions_may_have_any_dtype() -> None:
    """Behind padding too: True is the second document, and no padding."""
    documents, padding = torch.tensor([[0, 0, 0, 1, 1, 1]] * 2), torch.tensor([[0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 1]])
    hidden, at = padding.bool(), torch.arange(6)
    for scheme in ("rope", "rope + softcap(9)"):
        wanted = attend(X, X, X, scheme, documents=documents, padding=hidden)
        for dtype in (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.float16, torch.float64):
            out = attend(X, X, X, scheme, documents=documents.to(dtype), padding=hidden)
            assert torch.equal(out, wanted), dtype
        for dtype in (torch.int8, torch.int32, torch.float32):
            assert torch.equal(attend(X, X, X, scheme, key_positions=at.to(dtype)), attend(X, X, X, scheme)), dtype


@pytest.mark.parametrize("backend", ["tiles", "triton", "blocks", "reference"])
@pytest.mark.parametrize("frozen", list(product([False, True], repeat=3)))
@pytest.mark.parametrize("options", [{"padding": torch.ones(2, 6).bool()}, {"query_positions": torch.tensor([40])}])
def test_where_no_query_sees_a_key_the_output_is_of_the_graph_of_all_that_is_learned(
    options: dict[str, Any], frozen: tuple[bool, ...], backend: str
) -> None:
    """Frozen layers or not: a backward pass finds gradients, of zeros."""
    tensors = [torch.randn(2, 4, 6, 8).requires_grad_(not still) for still in frozen]
    query = tensors[0][:, :, :1] if "query_positions" in options else tensors[0]
    out = attend(query, tensors[1], tensors[2], "rope + window(5)", backend=backend, **options)
    assert not out.any()
    assert out.requires_grad == (not all(frozen))
    learned = [x for x in tensors if x.requires_grad]
    if learned:
        assert not any(bool(grad.any()) for grad in torch.autograd.grad(out.sum(), learned))


@pytest.mark.parametrize("backend", ["auto", "tiles", "triton", "blocks", "reference"])
@pytest.mark.parametrize("text", ["rope", "rerope(5)", "rope + window(4, sinks=1)", "rope + key_norm"])
def test_under_autocast_every_backend_computes_with_lower_tensors_as_ever(text: str, backend: str) -> None:
    """A prompt, decoding steps and a cache that reads on."""
    tensors = torch.randn(3, 1, 2, 12, 8)

    def outputs(q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
        cache = Cache(text, backend=backend)
        cuts = [(0, 9), (9, 10), (10, 12)]
        read = [cache.attend(q[:, :, a:b], k[:, :, a:b], v[:, :, a:b]) for a, b in cuts]
        return [*(attend(q[:, :, -n:], k, v, text, backend=backend) for n in (12, 1, 3)), *read]

    wanted = outputs(*tensors.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        found = outputs(*tensors) + outputs(*tensors.bfloat16())
    assert all(torch.equal(here, there) for here, there in zip(found, 2 * wanted, strict=True))
