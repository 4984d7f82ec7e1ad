"""One launch is the reference, for every method that it does not refuse; Triton's interpreter runs the kernels."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.drawing import PARTS, PER_METHOD, inputs, schemes
from longspan.compute.attend import run
from longspan.compute.fused.attention import Fused, plan
from longspan.compute.inputs import Inputs
from longspan.compute.kernels.triton import autograd
from longspan.compute.kernels.triton.launch import Config
from longspan.compute.places import places
from longspan.notation import parse
from longspan.scheme import Scheme

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="without a GPU: on one, tests/contract runs them")

TOLERANCE = {torch.float32: 2e-5, torch.float16: 1e-2, torch.bfloat16: 8e-2}
"""Largest error of an output or a gradient, relative to the largest number: a few roundings of inputs and weights."""


@st.composite
def small_blocks(draw: st.DrawFn) -> Config:
    """Blocks so small that a few tokens fill several."""
    return Config(draw(st.sampled_from([16, 32])), 16)


def drawn(scheme: Scheme, queries: int, keys: int, dtype: torch.dtype = torch.float32) -> Inputs:
    """Two rows of a batch, four heads over two key heads."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, queries, 8, generator=generator).to(dtype)
    key, value = torch.randn(2, 2, 2, keys, 8, generator=generator).to(dtype)
    weights = scheme.initial_weights(4, 8, generator)
    return Inputs(query, key, value, scheme, *places(queries, keys), weights, 8**-0.5)


def test_the_kernels_are_interpreted() -> None:
    """Guards the tests below."""
    assert isinstance(plan(drawn(parse("rope"), 5, 5)), Fused)


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=max(2, PER_METHOD // 2))
@given(data=st.data())
def test_one_launch_is_the_reference(name: str, data: st.DataObject) -> None:
    x = data.draw(inputs(data.draw(schemes(with_part=name)), torch.float32, max_keys=40))
    if isinstance(plan(x), str):
        return
    with pytest.MonkeyPatch.context() as patch:
        config = data.draw(small_blocks())
        patch.setattr(autograd, "forward_config", lambda *_: config)
        out = run(x, "triton")
    wanted = run(replace(x, query=x.query.double(), key=x.key.double(), value=x.value.double()), "reference")
    torch.testing.assert_close(out.double(), wanted, rtol=0, atol=TOLERANCE[torch.float32] * float(wanted.abs().max()))
