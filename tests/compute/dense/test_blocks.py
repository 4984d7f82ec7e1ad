"""The reference on blocks of rows: each block is given all keys that its rows see."""

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
