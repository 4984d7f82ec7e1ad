"""Every backend is the reference, for every method: outputs and gradients, in every way of calling."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.drawing import PARTS, inputs, schemes
from longspan.compute import blocks as blocks_module
from longspan.compute.attend import run
from longspan.compute.inputs import Inputs


def gradients(x: Inputs, backend: str) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The output and its gradients for one fixed random direction."""
    tensors = [t.detach().requires_grad_() for t in (x.query, x.key, x.value, *x.weights.values())]
    weights = dict(zip(x.weights, tensors[3:], strict=True))
    out = run(replace(x, query=tensors[0], key=tensors[1], value=tensors[2], weights=weights), backend)
    direction = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
    used = torch.autograd.grad((out * direction).sum(), tensors, allow_unused=True)
    return out, [torch.zeros_like(t) if g is None else g for t, g in zip(tensors, used, strict=True)]


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("backend", ["auto", "blocks"])
@settings(max_examples=15)
@given(data=st.data())
def test_backend_is_the_reference(backend: str, name: str, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    x = data.draw(inputs(scheme, max_keys=40))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "PAIRS", 64)
        out, grads = gradients(x, backend)
    wanted, wanted_grads = gradients(x, "reference")
    torch.testing.assert_close(out, wanted, rtol=1e-11, atol=1e-11)
    for given_, wanted_ in zip(grads, wanted_grads, strict=True):
        torch.testing.assert_close(given_, wanted_, rtol=1e-10, atol=1e-10)
