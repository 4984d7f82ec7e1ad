"""Attention on a device that is not the CPU: the same numbers, nothing made elsewhere, no waiting in a step."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from contract.drawing import PARTS, PER_METHOD, Shape, initial_weights, inputs, on, paddings, schemes, tensors
from imitated_device import DEVICE, ImitatedDevice, here, there
from longspan import Cache
from longspan.compute import cache as cache_module
from longspan.compute.attend import choose, run
from longspan.compute.decoding.prepare import prepare
from longspan.compute.decoding.prepared import Prepared
from longspan.compute.inputs import Inputs
from longspan.compute.kernels import cpu
from longspan.compute.kernels.few_queries import few_queries

FEW = max(2, PER_METHOD // 2)


def gradients(x: Inputs) -> list[Tensor]:
    """The output and the gradients of its sum of squares."""
    given_ = [t.detach().requires_grad_() for t in (x.query, x.key, x.value, *x.weights.values())]
    weights = dict(zip(x.weights, given_[3:], strict=True))
    out = run(replace(x, query=given_[0], key=given_[1], value=given_[2], weights=weights), "auto")
    found = torch.autograd.grad(out.square().sum(), given_, allow_unused=True)
    return [
        here(out),
        *(torch.zeros_like(here(t)) if g is None else here(g) for t, g in zip(given_, found, strict=True)),
    ]


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=FEW)
@given(data=st.data())
def test_attention_and_its_gradients_are_those_of_the_cpu(name: str, data: st.DataObject) -> None:
    x = data.draw(inputs(data.draw(schemes(with_part=name)), max_keys=24))
    wanted = gradients(x)
    with ImitatedDevice():
        moved = on(x, DEVICE)
        assert choose(moved).backend == "blocks"
        for found, plain in zip(gradients(moved), wanted, strict=True):
            torch.testing.assert_close(found, plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=FEW)
@given(data=st.data())
def test_a_step_of_a_cache_does_not_wait_for_the_device(name: str, data: st.DataObject) -> None:
    """Behind padding too. A step that only blocks can compute (a cap, several softmaxes …) waits, and is as exact."""
    scheme = data.draw(schemes(with_part=name))
    if not scheme.direction.causal or scheme.rotation.num_axes > 1:
        return
    batch, count = data.draw(st.integers(1, 2)), 20
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    x = tensors(Shape(batch, 2, 2, count, count), torch.float64, generator)
    weights = initial_weights(scheme, 4, generator)
    padding = data.draw(paddings(batch, count - STEPS))
    wanted, _ = read(Cache(scheme, weights=weights), x, padding)
    with torch.no_grad(), ImitatedDevice() as device:
        cache = Cache(scheme, weights={name: there(weight) for name, weight in weights.items()})
        out, prepared = read(cache, [there(t) for t in x], None if padding is None else there(padding), device)
    assert not prepared or not device.waits, device.waits
    for found, plain in zip(out, wanted, strict=True):
        torch.testing.assert_close(here(found), plain, rtol=1e-10, atol=1e-10)


STEPS = 4
"""Tokens that come one by one, behind a prompt."""


def read(
    cache: Cache, x: Sequence[Tensor], padding: Tensor | None, device: ImitatedDevice | None = None
) -> tuple[list[Tensor], bool]:
    """Outputs of a prompt and of the tokens behind it, and whether all steps were prepared.

    The device counts from the second step on: the first one prepares what all others do.
    """
    found: list[Prepared | None] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_module, "prepare", lambda request: found.append(prepare(request)) or found[-1])
        outs = [cache.attend(*(t[:, :, :-STEPS] for t in x), padding=padding)]
        for step in range(-STEPS, 0):
            if device is not None and step == 1 - STEPS:
                device.waits.clear()
            outs.append(cache.attend(*(t[:, :, step : step + 1 or None] for t in x)))
    return outs, len(found) == STEPS and all(found)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_few_queries_written_out_are_the_kernel_of_the_cpu(dtype: torch.dtype) -> None:
    query, key, value = (torch.randn(2, heads, count, 16).to(dtype) for heads, count in ((6, 3), (2, 40), (2, 40)))
    mask = torch.randn(1, 6, 3, 40).to(torch.promote_types(dtype, torch.float32))
    mask[..., 30:] = -torch.inf
    for bias in (None, mask):
        found = few_queries(query, key, value, 0.3, bias)
        wanted = cpu.operation(query, key, value, 0.0, False, attn_mask=bias, scale=0.3)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other.to(one.dtype), rtol=0, atol=32 * torch.finfo(dtype).eps)
