"""The Triton kernel is the reference, for every method: forward, backward and token by token.

Without a GPU Triton's interpreter runs the kernels on the CPU: slowly, so that few schemes are drawn. The defaults of
each method are computed in every way before.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from math import sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from contract.drawing import (
    HEAD_DIM,
    PARTS,
    PER_METHOD,
    Shape,
    default,
    initial_weights,
    inputs,
    on,
    paddings,
    schemes,
    tensors,
)
from longspan.compute.attend import run
from longspan.compute.cache import Cache
from longspan.compute.dense.reference import reference
from longspan.compute.fused.attention import Fused, plan, scheme_refusal
from longspan.compute.inputs import Inputs
from longspan.compute.kernels.triton import autograd
from longspan.compute.kernels.triton.sizes import FORWARD, QUERY_GRADIENT, Config, Sizes
from longspan.compute.places import places
from longspan.errors import RefusalError
from longspan.notation import parse
from longspan.scheme import Scheme

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FEW = max(1, PER_METHOD // 4)
DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])

NO_SINGLE_SOFTMAX = {
    "entmax", "l2", "perturb_max", "shaw", "sparsemax", "squared_relu", "taylor", "top_k", "urpe",
}  # fmt: skip
"""Methods that the kernel refuses by their formula, whatever their settings."""

ROUNDINGS = 3
"""Of each query, key and value: normalized, rotated, and multiplied with a rounded weight."""

MARGIN, LEAST = 4.0, 1e-6
"""How many times the measured loss the kernel may lose, and what it may lose where nothing is lost."""


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks so small that a few tokens fill several, of another shape in each kernel."""

    def small(sizes: Sizes, *_: object) -> Config:
        return Config(16, 32, 4, 1) if sizes is FORWARD else Config(32 if sizes is QUERY_GRADIENT else 16, 16, 4, 1)

    with monkeypatch.context() as patch:
        patch.setattr(autograd, "config", small)
        yield


def results(x: Inputs, backend: str) -> list[Tensor]:
    """The output and its gradients for one fixed random direction."""
    leaves = [t.detach().requires_grad_() for t in (x.query, x.key, x.value, *x.weights.values())]
    weights = dict(zip(x.weights, leaves[3:], strict=True))
    out = run(replace(x, query=leaves[0], key=leaves[1], value=leaves[2], weights=weights), backend)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
    found = torch.autograd.grad(out, leaves, direction, allow_unused=True, materialize_grads=True)
    return [t.detach().cpu().double() for t in (out, *found)]


def loss(found: list[Tensor], exact: list[Tensor]) -> float:
    """The largest difference, as a share of a tensor's largest number.

    A gradient that sums many numbers of the output may be far smaller than they are, but is no more exact: its share is
    taken of the root of their count at least.
    """
    count = exact[0].numel()
    shares = [
        (a - b).abs().max() / b.abs().max().clamp(min=sqrt(count / b.numel()))
        for a, b in zip(found, exact, strict=True)
    ]
    return float(torch.stack(shares).max())


def widened(x: Inputs, share: float = 0.0) -> Inputs:
    """The call in float64, its content moved up or down by a share."""
    generator = torch.Generator().manual_seed(2)

    def moved(t: Tensor) -> Tensor:
        sign = 2.0 * torch.randint(0, 2, t.shape, generator=generator).to(t.device) - 1.0
        return t.double() * (1.0 + share * sign)

    return replace(x, query=moved(x.query), key=moved(x.key), value=moved(x.value))


def check(x: Inputs) -> None:
    """Outputs and gradients lose a few times as much as those of blocks, or as rounding the inputs costs."""
    found = plan(x)
    if isinstance(found, str):
        with pytest.raises(RefusalError, match=re.escape(f"{found}; backend=")):
            run(x, "triton")
        return
    exact, eps = results(widened(x), "reference"), torch.finfo(x.query.dtype).eps
    noise = max(loss(results(x, "blocks"), exact), loss(results(widened(x, ROUNDINGS * eps / 2), "reference"), exact))
    assert loss(results(x, "triton"), exact) <= MARGIN * noise + LEAST


def call(scheme: Scheme, dtype: torch.dtype) -> Inputs:
    """Documents that take turns, with padding between, grouped queries, and positions on as many axes as it takes."""
    count, axes = 33, scheme.rotation.num_axes
    generator = torch.Generator().manual_seed(0)
    query, key, value = (t.to(dtype) for t in tensors(Shape(2, 1, 2, count, count), torch.float64, generator))
    documents = torch.tensor([[4] * 17 + [1] * 8 + [4] * 7 + [0], [0] * count])
    padding = torch.rand(2, count, generator=generator) < 0.15
    positions = torch.arange(count)[None, :, None].expand(1, count, axes) if axes > 1 else None
    where = places(count, count, documents=documents, padding=padding, key_positions=positions)
    weights = initial_weights(scheme, 2, generator)
    return on(Inputs(query, key, value, scheme, *where, weights, HEAD_DIM**-0.5), DEVICE)


def test_what_is_refused_is_known() -> None:
    """Guards the tests below, which have nothing to compare where the kernel refuses."""
    assert {name for name in PARTS if scheme_refusal(Scheme.of(default(name)))} == NO_SINGLE_SOFTMAX
    served = [plan(call(Scheme.of(default(name)), torch.float32)) for name in PARTS if name not in NO_SINGLE_SOFTMAX]
    assert all(isinstance(found, Fused) for found in served), served


@pytest.mark.parametrize("name", PARTS)
def test_outputs_and_gradients_of_defaults(name: str) -> None:
    check(call(Scheme.of(default(name)), torch.float32))


@pytest.mark.parametrize("text", ["rope", "rerope(20) + window(50, sinks=2)"])
def test_blocks_that_every_row_sees_whole(text: str) -> None:
    """A text long enough for blocks without a mask in every kernel, also in the middle."""
    count, generator = 70, torch.Generator().manual_seed(0)
    query, key, value = (t.float() for t in tensors(Shape(1, 1, 2, count, count), torch.float64, generator))
    x = Inputs(query, key, value, parse(text), *places(count, count), {}, HEAD_DIM**-0.5)
    check(on(x, DEVICE))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("text", ["rerope(4) + log_length(8)", "xpos(scale_base=8)", "alibi + softcap(2.0)"])
def test_outputs_and_gradients_in_low_precision(text: str, dtype: torch.dtype) -> None:
    check(call(parse(text), dtype))


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=FEW)
@given(data=st.data())
def test_outputs_and_gradients(name: str, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    check(on(data.draw(inputs(scheme, data.draw(DTYPES), max_keys=40)), DEVICE))


def read_on(scheme: Scheme, parts: list[int], batch: int, group: int, padding: Tensor | None, seed: int) -> None:
    """A cache that reads a text in parts gives what the reference gives for all of it."""
    count, generator = sum(parts), torch.Generator().manual_seed(seed)
    content = tensors(Shape(batch, 1, group, count, count), torch.float32, generator)
    query, key, value = (t.to(DEVICE) for t in content)
    weights = {n: w.to(DEVICE) for n, w in initial_weights(scheme, group, generator).items()}
    cache, outs, first = Cache(scheme, weights=weights, backend="triton"), [], 0
    for size in parts:
        some = slice(first, first + size)
        hidden = None if padding is None else padding[:, some].to(DEVICE)
        outs.append(cache.attend(query[:, :, some], key[:, :, some], value[:, :, some], padding=hidden))
        first += size
    where = places(count, count, padding=padding)
    whole = on(Inputs(query, key, value, scheme, *where, weights, HEAD_DIM**-0.5), DEVICE)
    exact = [reference(widened(whole)).cpu()]
    eps = torch.finfo(torch.float32).eps
    noise = max(loss([reference(x).cpu().double()], exact) for x in (whole, widened(whole, ROUNDINGS * eps / 2)))
    assert loss([torch.cat(outs, 2).cpu().double()], exact) <= MARGIN * noise + LEAST


def has_no_step(scheme: Scheme) -> bool:
    """Whether no cache reads it, or the kernel refuses it."""
    return not scheme.direction.causal or scheme.rotation.num_axes > 1 or scheme_refusal(scheme) is not None


@pytest.mark.parametrize("name", [name for name in PARTS if not has_no_step(Scheme.of(default(name)))])
def test_steps_of_defaults(name: str) -> None:
    """A prompt, a few tokens at once, and one by one, behind padding in one of two rows."""
    padding = torch.arange(20)[None] < torch.tensor([[0], [3]])
    read_on(Scheme.of(default(name)), [17, 1, 2], 2, 2, padding, 0)


@pytest.mark.parametrize("name", [name for name in PARTS if name not in NO_SINGLE_SOFTMAX])
@settings(max_examples=FEW)
@given(data=st.data())
def test_steps(name: str, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    if has_no_step(scheme):
        return
    parts = data.draw(st.lists(st.sampled_from([1, 1, 2, 9, 14]), min_size=2, max_size=4))
    batch, group = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3))
    padding = data.draw(paddings(batch, sum(parts)))
    read_on(scheme, parts, batch, group, padding, data.draw(st.integers(0, 2**31)))
