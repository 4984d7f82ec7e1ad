"""The reference on blocks of rows: each block is given all keys that its rows see."""

from typing import Any

import pytest
import torch

from longspan import attend
from longspan.compute.dense import blocks as blocks_module


@pytest.mark.parametrize("text", ["blockwise(2, sinks=5)", "window(2, sinks=5)"])
@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
def test_sinks_that_come_later_are_seen_in_both_directions(
    text: str, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    q, k, v = torch.randn(3, 1, 2, 9, 8, dtype=torch.float64)
    monkeypatch.setattr(blocks_module, "PAIRS", 18)
    scheme = f"rope + {text} + {direction}"
    out, wanted = (attend(q, k, v, scheme, backend=backend) for backend in ("blocks", "reference"))
    torch.testing.assert_close(out, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["query_positions", "key_positions", "documents", "padding"])
def test_what_is_written_to_an_argument_after_the_call_is_not_read_by_the_backward_pass(name: str) -> None:
    """Which computes the rows again."""
    found = []
    for changes in (False, True):
        generator = torch.Generator().manual_seed(0)
        x = [torch.randn(1, 2, 9, 8, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(3)]
        given: dict[str, Any] = {"query_positions": torch.arange(9), "key_positions": torch.arange(9)}
        given |= {"documents": torch.zeros(1, 9, dtype=torch.long), "padding": torch.zeros(1, 9, dtype=torch.bool)}
        out = attend(x[0], x[1], x[2], "rope + softcap(5)", backend="blocks", **given)
        if changes:
            given[name][..., ::2] = 1
        found.append(torch.autograd.grad(out.square().sum(), x))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
