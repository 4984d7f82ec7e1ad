"""Every backend is the reference, for every method: outputs and gradients, in every way of calling."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.drawing import (
    GEOMETRY,
    LENGTH,
    PARTS,
    PER_METHOD,
    Shape,
    default,
    initial_weights,
    inputs,
    on,
    schemes,
    tensors,
)
from longspan.compute.attend import Refusal, choose, plan, run
from longspan.compute.dense import blocks as blocks_module
from longspan.compute.inputs import Inputs
from longspan.compute.kernels.kernel import KERNELS
from longspan.compute.places import places, visible
from longspan.compute.tiling import softmax
from longspan.compute.tiling.lowering import Cut
from longspan.scheme import Scheme


def gradients(
    x: Inputs, backend: str, within: AbstractContextManager[object] | None = None
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The output, computed in a context, and its gradients for one fixed random direction."""
    tensors = [t.detach().requires_grad_() for t in (x.query, x.key, x.value, *x.weights.values())]
    weights = dict(zip(x.weights, tensors[3:], strict=True))
    with within or nullcontext():
        out = run(replace(x, query=tensors[0], key=tensors[1], value=tensors[2], weights=weights), backend)
    direction = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(out)
    used = torch.autograd.grad((out * direction).sum(), tensors, allow_unused=True)
    return out, [torch.zeros_like(t) if g is None else g for t, g in zip(tensors, used, strict=True)]


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("backend", ["auto", "blocks"])
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_backend_is_the_reference(backend: str, name: str, device: torch.device, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    x = on(data.draw(inputs(scheme, max_keys=40)), device)
    halvings = data.draw(st.sampled_from([0, 1, 3]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "PAIRS", 64)
        for kernel in KERNELS.values():
            patch.setattr(kernel, "halvings", lambda *_: halvings)
        patch.setattr(softmax, "Cut", partial(Cut, smallest=2))
        out, grads = gradients(x, backend)
    wanted, wanted_grads = gradients(x, "reference")
    torch.testing.assert_close(out, wanted, rtol=1e-11, atol=1e-11)
    for given_, wanted_ in zip(grads, wanted_grads, strict=True):
        torch.testing.assert_close(given_, wanted_, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_tiles_in_float32_are_the_reference(name: str, device: torch.device, data: st.DataObject) -> None:
    """What no float64 can show: CUDA's kernels have none."""
    x = data.draw(inputs(data.draw(schemes(with_part=name)), torch.float32, max_keys=40))
    if isinstance(plan(on(x, device)), Refusal):
        return
    out, grads = gradients(on(x, device), "tiles")
    double = replace(x, query=x.query.double(), key=x.key.double(), value=x.value.double())
    wanted, wanted_grads = gradients(double, "reference")
    for found, plain in zip([out, *grads], [wanted, *wanted_grads], strict=True):
        size = max(1.0, float(plain.detach().abs().max()))
        torch.testing.assert_close(found.cpu().double() / size, plain / size, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=max(2, PER_METHOD // 2))
@given(data=st.data())
def test_a_nan_is_seen_in_the_rows_that_see_it_and_in_no_other(
    name: str, device: torch.device, data: st.DataObject
) -> None:
    """Of a key or a value: the rows whose mask holds it; of a query: its own. All others are as without it."""
    scheme = data.draw(schemes(with_part=name))
    x = on(data.draw(inputs(scheme, max_keys=data.draw(st.sampled_from([6, 40])))), device)
    which = data.draw(st.sampled_from(["query", "key", "value"]))
    spoiled = getattr(x, which).clone()
    b, head, at, channel = (data.draw(st.integers(0, size - 1)) for size in spoiled.shape)
    spoiled[b, head, at, channel] = torch.nan
    wanted, bad = run(x, "reference"), torch.zeros(x.query.shape[:3], dtype=torch.bool, device=device)
    exists = visible(x.queries, x.keys, scheme.mask, scheme.direction.causal).expand(len(x.query), -1, -1, -1)
    if which == "query":
        bad[b, head, at] = exists[b, 0, at].any()
    else:
        group = x.query.shape[1] // x.key.shape[1]
        bad[b, head * group : (head + 1) * group] = exists[b, 0, :, at]
    for backend in ("auto", "blocks", "reference"):
        out = run(replace(x, **{which: spoiled}), backend)
        assert torch.equal(out.isnan().any(-1), bad), backend
        torch.testing.assert_close(out[~bad], wanted[~bad], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=max(2, PER_METHOD // 2))
@given(data=st.data())
def test_autocast_changes_no_bit(name: str, device: torch.device, data: st.DataObject) -> None:
    """Of outputs, of gradients and of decoding steps, which are calls of few queries without a graph."""
    x = on(data.draw(inputs(data.draw(schemes(with_part=name)), torch.float32, max_keys=24)), device)
    for backend in ("auto", "blocks", "reference"):
        wanted, wanted_grads = gradients(x, backend)
        out, grads = gradients(x, backend, torch.autocast(device.type, torch.bfloat16))
        with torch.no_grad():
            step = run(x, backend)
            with torch.autocast(device.type, torch.bfloat16):
                found = run(x, backend)
        for here, there in zip([out, found, *grads], [wanted, step, *wanted_grads], strict=True):
            torch.testing.assert_close(here, there, rtol=0, atol=0, equal_nan=True)


ROUNDINGS = 3
"""Of each query, key and value in a fast backend: normalized, rotated, and multiplied with a rounded weight."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", PARTS)
def test_low_precision_stays_within_the_measured_budget(name: str, dtype: torch.dtype, device: torch.device) -> None:
    """The error against float64 is at most twice what rounding inputs and output in that dtype is seen to cost."""
    scheme = Scheme.of(default(name))
    generator = torch.Generator().manual_seed(0)
    keys = 3 * LENGTH
    low = [t.to(dtype) for t in tensors(Shape(1, 2, 2, keys, keys), torch.float64, generator)]
    positions = torch.arange(keys)[None, :, None].expand(1, keys, scheme.rotation.num_axes)
    where = places(keys, keys, key_positions=positions)
    weights = initial_weights(scheme, 4, generator)

    def output(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, backend: str) -> torch.Tensor:
        x = on(Inputs(query, key, value, scheme, *where, weights, GEOMETRY.head_dim**-0.5), device)
        return run(x, backend).double().cpu()

    exact = output(*(t.double() for t in low), backend="reference")
    eps = torch.finfo(dtype).eps / 2
    budget = eps * exact.abs().max()
    for seed in range(4):
        shake = torch.Generator().manual_seed(seed)
        signs = [2.0 * torch.randint(0, 2, t.shape, generator=shake) - 1.0 for t in low]
        shaken = [t.double() * (1 + ROUNDINGS * eps * sign) for t, sign in zip(low, signs, strict=True)]
        budget = torch.maximum(
            budget, (output(*shaken, backend="reference") - exact).abs().max() + eps * exact.abs().max()
        )
    asked = Inputs(low[0], low[1], low[2], scheme, *where, weights, 1.0)
    fast = "blocks" if isinstance(plan(on(asked, device)), Refusal) else "tiles"
    assert (output(*low, backend=fast) - exact).abs().max() <= 2 * budget


def test_auto_says_why() -> None:
    """Streaming schemes go through tiles; what tiles refuse goes through blocks, with the reason."""
    where = places(4, 4)
    x = torch.ones(1, 1, 4, 8)
    assert choose(Inputs(x, x, x, Scheme(), *where, {}, 1.0)).backend == "tiles"
    chosen = choose(Inputs(x, x, x, Scheme.of(default("sparsemax")), *where, {}, 1.0))
    assert chosen.backend == "blocks"
    assert "sparsemax" in chosen.why
    far = torch.ones(1, 1, 4, 8, device="meta")
    assert choose(Inputs(far, far, far, Scheme(), *where, {}, 1.0))[:2] == (
        "blocks",
        "not triton: its kernels run on GPUs, the inputs are on meta; "
        "not tiles: its flash kernels are those of CPU and CUDA, the inputs are on meta",
    )
