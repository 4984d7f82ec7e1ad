"""One launch is the reference, for schemes of every kind (tests/contract: for every method); interpreted here."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from longspan.compute.attend import attend, run
from longspan.compute.cache import Cache
from longspan.compute.dense.reference import scores
from longspan.compute.fused import attention
from longspan.compute.fused.attention import Fused, plan
from longspan.compute.inputs import Inputs
from longspan.compute.kernels.triton import autograd, launch
from longspan.compute.kernels.triton.sizes import Config
from longspan.compute.places import places
from longspan.errors import RefusalError
from longspan.notation import parse
from longspan.scheme import Scheme
from longspan.slots import VectorBias

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="Triton's interpreter is for machines without a GPU")

TOLERANCE = 2e-5
"""Largest error of an output or a gradient, relative to the largest number: a few roundings of inputs and weights."""


def test_the_kernels_are_interpreted() -> None:
    """Guards the tests below."""
    assert isinstance(plan(one_document(parse("rope"))), Fused)


def gradients(x: Inputs, backend: str) -> list[torch.Tensor]:
    """The output, and the gradients of all inputs for one fixed random direction."""
    tensors = [t.detach().requires_grad_() for t in (x.query, x.key, x.value, *x.weights.values())]
    weights = dict(zip(x.weights, tensors[3:], strict=True))
    out = run(replace(x, query=tensors[0], key=tensors[1], value=tensors[2], weights=weights), backend)
    direction = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(out)
    used = torch.autograd.grad((out * direction).sum(), tensors, allow_unused=True)
    return [out.detach(), *(torch.zeros_like(t) if g is None else g for t, g in zip(tensors, used, strict=True))]


SCHEMES = [
    "rerope(window=8)",
    "leaky_rerope(window=8, k=4) + log_length(8)",
    "self_extend(window=8, group=3) + softmax_plus_one",
    "dual_chunk(chunk=12, local=4)",
    "string(offset=12, local=4) + softcap(2.0)",
    "dpe(window=8, groups=(1, 2))",
    "cache_relative(sinks=2, size=12) + window(10, sinks=2)",
    "rope(layout=interleaved, partial=0.5) + blockwise(8)",
    "yarn(factor=4, trained_length=8) + window(7, sinks=3)",
    "xpos(scale_base=8)",
    "dynamic_ntk(8) + rerope(window=4)",
    "alibi + softcap(2.0)",
    "t5 + window(9)",
    "rerope(window=5) + bidirectional",
    "rope + bidirectional + window(2, sinks=5) + kerple_log",
    "cosine + learned(initial=3.0)",
]


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that some are seen whole, some at their edges, and some not at all."""
    monkeypatch.setattr(autograd, "config", lambda *_: Config(32, 16, 4, 1))


def one_document(scheme: Scheme, dtype: torch.dtype = torch.float32) -> Inputs:
    """Two heads over one key head, and values of another width where the scheme lets them have one."""
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(1, 2, 40, 8, generator=generator), torch.randn(1, 1, 40, 8, generator=generator)
    value = torch.randn(1, 1, 40, 8 if isinstance(scheme.bias, VectorBias) else 6, generator=generator)
    weights = {name: w + 0.1 for name, w in scheme.initial_weights(2, 8, generator).items()}
    return Inputs(query.to(dtype), key.to(dtype), value.to(dtype), scheme, *places(40, 40), weights, 8**-0.5)


def several_documents(scheme: Scheme) -> Inputs:
    """Documents that take turns, with padding anywhere."""
    x = one_document(scheme)
    padding = torch.rand(1, 40, generator=torch.Generator().manual_seed(0)) < 0.2
    queries, keys = places(40, 40, documents=torch.tensor([[4] * 22 + [1] * 8 + [4] * 7 + [0] * 3]), padding=padding)
    return replace(x, queries=queries, keys=keys)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("make", [one_document, several_documents])
@pytest.mark.parametrize("text", SCHEMES)
def test_schemes_of_every_kind_are_served(text: str, make: Callable[[Scheme], Inputs]) -> None:
    x = make(parse(text))
    for some, exact in zip(gradients(x, "triton"), gradients(_double(x), "reference"), strict=True):
        size = max(1.0, float(exact.abs().max()))
        torch.testing.assert_close(some.double() / size, exact.double() / size, rtol=0, atol=TOLERANCE)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("text", ["rerope(window=8)", "alibi + window(9) + softmax_plus_one"])
def test_the_log_sum_exp_is_differentiable(text: str) -> None:
    """It is that of the row, the extra logit included, and its gradient adds to that of the output."""
    x = one_document(parse(text))
    tensors = [t.requires_grad_() for t in (x.query, x.key)]
    found = plan(x)
    assert isinstance(found, Fused)
    out, lse = found()
    scores_ = scores(_double(x))[0]
    logit = x.scheme.normalizer.extra_logit(2, x.weights_of(x.scheme.normalizer))
    beside = scores_.new_full((1, 2, 40, 1), -torch.inf) if logit is None else logit.double().expand(1, 40, 1, 2).mT
    wanted = torch.cat([scores_, beside.reshape(1, 2, 40, 1)], -1).logsumexp(-1)
    torch.testing.assert_close(lse.double(), wanted, rtol=0, atol=1e-5)
    both = (out.sum() + (lse * lse).sum(), run(_double(x), "reference").sum() + (wanted * wanted).sum())
    first, second = (torch.autograd.grad(total, tensors) for total in both)
    for some, exact in zip(first, second, strict=True):
        torch.testing.assert_close(some, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("which", ["query", "key", "value"])
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_a_nan_is_seen_where_it_is_seen(which: str) -> None:
    """Also within the blocks of keys that only some rows see."""
    x = several_documents(parse("rerope(window=8) + window(12, sinks=2)"))
    for at in (3, 19, 33):
        spoiled = getattr(x, which).clone()
        spoiled[0, 0, at, 1] = torch.nan
        y = replace(x, **{which: spoiled})
        out, wanted = run(y, "triton"), run(y, "reference")
        assert torch.equal(out.isnan(), wanted.isnan())
        torch.testing.assert_close(out, wanted, rtol=0, atol=1e-5, equal_nan=True)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("which", ["key", "value"])
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_a_nan_spoils_gradients_of_what_sees_it_alone(which: str) -> None:
    """Gradients of other queries (but for a key's), and of keys and values that only those see, are the same."""
    x = several_documents(parse("rerope(window=8) + window(12, sinks=2)"))
    clean, seen = gradients(x, "triton"), scores(_double(x))[0][0, 0] > -torch.inf
    for at in seen.any(0).nonzero()[[2, 20]].flatten().tolist():
        with_it = getattr(x, which).clone()
        with_it[0, 0, at, 1] = torch.nan
        spoiled = gradients(replace(x, **{which: with_it}), "triton")
        rows = ~seen[:, at]
        keys = ~seen[~rows].any(0)
        assert rows.any()
        assert keys.any()
        assert spoiled[1][:, :, ~rows].isnan().any()
        for some, exact, right in list(zip(spoiled[1:], clean[1:], (rows, keys, keys), strict=True))[which == "key" :]:
            torch.testing.assert_close(some[:, :, right], exact[:, :, right], rtol=0, atol=1e-6)


@pytest.mark.usefixtures("blocks")
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_what_no_number_can_hold_is_nan_in_every_block() -> None:
    """Whether all rows of a block see an infinite value or some, those that do are NaN; no others."""
    x = one_document(parse("rope"))
    wanted = run(x, "triton")
    value = x.value.clone()
    value[0, 0, 3] = torch.inf
    out = run(replace(x, value=value), "triton")
    assert out[:, :, 3:].isnan().all()
    assert torch.equal(out[:, :, :3], wanted[:, :, :3])


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("make", [one_document, several_documents])
@pytest.mark.parametrize("text", ["alibi", "alibi + softcap(2.0) + log_length(8)", "xpos(scale_base=8) + alibi"])
def test_a_bias_per_token_of_distance_is_that_of_its_table(
    text: str, make: Callable[[Scheme], Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = make(parse(text))
    found = gradients(x, "triton")
    monkeypatch.setattr(Fused, "is_linear", False)
    for some, exact in zip(found, gradients(x, "triton"), strict=True):
        torch.testing.assert_close(some, exact, rtol=0, atol=TOLERANCE * float(exact.abs().max()))


def test_registers_hold_no_decay_beside_wide_heads_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "WIDEST_FLOAT32", 6)
    assert plan(one_document(parse("xpos"))) == "in float32 heads that decay may have 6 channels, these have 8"
    assert isinstance(plan(one_document(parse("xpos"), torch.bfloat16)), Fused)
    assert isinstance(plan(one_document(parse("rope"))), Fused)


def test_a_table_of_biases_has_a_size_and_a_bias_per_token_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "MOST_DISTANCES", 8)
    assert isinstance(plan(one_document(parse("alibi"))), Fused)
    for text in ("alibi + bidirectional", "kerple_log"):
        assert plan(one_document(parse(text))) == "its table of biases holds 8 distances at most"


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("first", [0, 5])
def test_where_decay_starts_does_not_matter(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over however many tokens keys share an origin, the results are those of the reference."""
    x = one_document(parse("xpos(scale_base=8)"))
    where = places(40, 40, key_positions=first + torch.arange(40)[None])
    x = replace(x, queries=where[0], keys=where[1])
    exact = gradients(_double(x), "reference")
    for span in (8, 16):
        monkeypatch.setattr(attention, "decay_span", lambda *_, span=span: span)
        for some, wanted in zip(gradients(x, "triton"), exact, strict=True):
            size = max(1.0, float(wanted.abs().max()))
            torch.testing.assert_close(some.double() / size, wanted.double() / size, rtol=0, atol=TOLERANCE)


@pytest.mark.usefixtures("blocks")
def test_queries_before_an_origin_do_not_grow() -> None:
    """With a decay so fast that growing over a block of rows would leave float16, and spoil gradients of keys."""
    x = one_document(parse("xpos(gamma=0.001, scale_base=8)"), torch.float16)
    for some, exact in zip(gradients(x, "triton"), gradients(_double(x), "reference"), strict=True):
        size = max(1.0, float(exact.abs().max()))
        torch.testing.assert_close(some.double() / size, exact.double() / size, rtol=0, atol=2e-2)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(
    "text", ["rerope(window=8) + softmax_plus_one", "alibi + window(19, sinks=2)", "xpos(scale_base=8)"]
)
@pytest.mark.parametrize("parts", [2, 3])
def test_programs_may_share_the_keys(text: str, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do where queries are few; a part without keys adds nothing."""
    x = several_documents(parse(text))
    wanted = run(x, "triton")
    monkeypatch.setattr(launch, "splits", lambda *_: parts)
    torch.testing.assert_close(run(x, "triton"), wanted, rtol=0, atol=1e-6)


def test_few_queries_fill_a_gpu() -> None:
    """One program for each of 8 key heads and 132 processors: 33 parts; a prompt is not split."""
    assert launch.splits(8, 132, 4096) == 33
    assert launch.splits(8, 132, 40) == 10
    assert launch.splits(1024, 132, 4096) == 1


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("text", ["rerope(window=8)", "self_extend(window=8, group=3)", "rope + window(9, sinks=2)"])
def test_a_cache_decodes_with_it(text: str) -> None:
    """Keys come in the frame of the method, and only what is left is rotated."""
    generator = torch.Generator().manual_seed(0)
    query, (key, value) = (
        torch.randn(1, 2, 24, 8, generator=generator),
        torch.randn(2, 1, 1, 24, 8, generator=generator),
    )
    cache = Cache(text, backend="triton")
    parts = [slice(0, 20), slice(20, 21), slice(21, 24)]
    found = torch.cat([cache.attend(query[:, :, part], key[:, :, part], value[:, :, part]) for part in parts], 2)
    torch.testing.assert_close(found, attend(query, key, value, text, backend="reference"), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rope + sparsemax", "sparsemax is not one softmax"),
        ("rope + urpe", "urpe multiplies weights after the softmax"),
        ("shaw", "shaw adds vectors to keys and values"),
        ("xpos + rerope(window=4)", "xpos decays and rerope maps its distances"),
    ],
)
def test_what_is_no_single_softmax_is_refused(text: str, reason: str) -> None:
    with pytest.raises(RefusalError, match=f'^triton refuses .*: {reason}; backend="blocks" accepts it$'):
        run(one_document(parse(text)), "triton")


def test_tensors_without_a_kernel_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    x = one_document(parse("alibi"))
    assert plan(_double(x)) == "its kernels compute in float16, bfloat16 and float32, the inputs are torch.float64"
    wide = replace(x, query=torch.ones(1, 2, 40, 300), key=torch.ones(1, 1, 40, 300))
    assert plan(wide) == "heads may have 256 channels, these have 300"
    jumping = places(40, 40, key_positions=torch.arange(40)[None] * 2)
    assert plan(replace(x, queries=jumping[0], keys=jumping[1])) == (
        "its coordinates do not step by one with the order"
    )
    monkeypatch.setattr(launch, "interpreted", lambda: False)
    assert plan(x) == "its kernels run on GPUs, the inputs are on cpu"
    monkeypatch.setattr(attention, "find_spec", lambda _: None)
    assert plan(x) == "the package triton is not installed: pip install 'longspan[gpu]'"


def _double(x: Inputs) -> Inputs:
    return replace(x, query=x.query.double(), key=x.key.double(), value=x.value.double())
