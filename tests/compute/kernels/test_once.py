"""What kernels differentiate once is never a constant to PyTorch: a second derivative is right or refused."""

import re
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from longspan import attend, parse
from longspan.compute.ring.ring import Ring
from longspan.compute.ring.zigzag import Zigzag
from longspan.errors import RefusalError

SCHEMES = ["rope", "kerple_log", "rope + softmax_plus_one", "rope + rms"]


def call(text: str, backend: str, needs: str = "") -> tuple[Tensor, list[Tensor]]:
    """The output, and what it is differentiated by: everything, or what has a name."""
    generator, scheme = torch.Generator().manual_seed(0), parse(text)
    x = {name: torch.randn(1, 2, 9, 16, generator=generator) for name in ("query", "key", "value")}
    weights = {n: t + 0.3 for n, t in scheme.initial_weights(2, 16, generator).items()}
    learned = [t.requires_grad_() for n, t in {**x, **weights}.items() if not needs or n == needs]
    out = attend(x["query"], x["key"], x["value"], scheme, weights=weights, backend=backend)
    return out, learned


def second(text: str, backend: str, needs: str = "") -> list[Tensor]:
    """The second derivative of a sum of squares of the output."""
    out, learned = call(text, backend, needs)
    first = torch.autograd.grad(out.square().sum(), learned, create_graph=True)
    total = torch.stack([x.square().sum() for x in first]).sum()
    return list(torch.autograd.grad(total, learned, allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("backend", ["tiles", "triton"])
@pytest.mark.parametrize("text", SCHEMES)
def test_the_first_derivative_is_as_ever_and_the_second_is_right_or_refused(text: str, backend: str) -> None:
    refused = f'{backend} ha(s|ve) no second derivative: use backend="blocks"'
    for needs in ("", "query", "value", *parse(text).initial_weights(2, 16)):
        first = []
        for graph in (False, True):
            out, learned = call(text, backend, needs)
            first.append(torch.autograd.grad(out.sum(), learned, create_graph=graph))
        assert all(torch.equal(a, b) for a, b in zip(*first, strict=True))
        try:
            found = second(text, backend, needs)
        except RefusalError as error:
            assert re.match(refused, str(error))  # noqa: PT017
            continue
        for a, b in zip(found, second(text, "reference", needs), strict=True):
            torch.testing.assert_close(a, b)
    for needs in ("", "query", "key", "value"):
        with pytest.raises(RefusalError, match=refused):
            second(text, backend, needs)


@pytest.mark.parametrize("text", SCHEMES)
def test_blocks_have_the_second_derivative_of_the_reference(text: str) -> None:
    for a, b in zip(second(text, "blocks"), second(text, "reference"), strict=True):
        torch.testing.assert_close(a, b)


def test_a_ring_refuses_too(tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        query, key, value = (torch.randn(1, 2, 8, 16, requires_grad=True) for _ in range(3))
        out = Ring(parse("rope"), Zigzag(1, 8)).attend(query, key, value, scale=0.25)
        (first,) = torch.autograd.grad(out.sum(), query, create_graph=True)
        with pytest.raises(RefusalError, match="processes share has no second derivative"):
            torch.autograd.grad(first.sum(), key)
    finally:
        dist.destroy_process_group()
