"""Outside sources: flash-linear-attention's naive retention, and the normalizers of the authors' parallel form."""

import numpy as np
import pytest
import torch

from longspan.errors import SchemeError
from longspan.mixers.retnet import RetNet, decays
from mixers.by_formula import drawn, mixed, text
from mixers.naive_ops import naive


def parts(size: float = 1.0) -> tuple[torch.Tensor, dict[str, torch.Tensor], list[torch.Tensor]]:
    """Input, learned numbers, and query, key and value, rotated as complex numbers."""
    weights, x = drawn(RetNet()), size * text()
    query, key, value = (torch.einsum("btd,hkd->bhtk", x, weights[name]) for name in ("query", "key", "value"))
    angles = torch.arange(x.shape[1])[:, None] * torch.tensor([1.0, 1e-4]).double()  # linspace(0, 1, 2) of exponents
    turn = torch.polar(torch.ones_like(angles), angles)
    pairs = (torch.view_as_complex(each.unflatten(-1, (2, 2)).contiguous()) for each in (query, key))
    query, key = (torch.view_as_real(each * turn).flatten(-2) for each in pairs)
    return x, weights, [query, key, value]


def gated(y: torch.Tensor, x: torch.Tensor, weights: dict[str, torch.Tensor], epsilon: float = 1e-6) -> torch.Tensor:
    gate = torch.nn.functional.silu(torch.einsum("btd,hkd->bhtk", x, weights["gate"]))
    normed = torch.nn.functional.rms_norm(y, y.shape[-1:], eps=epsilon)
    return torch.einsum("bhtk,dhk->btd", gate * normed, weights["out"])


def test_is_naive_retention() -> None:
    """It computes in float32."""
    x, weights, read = parts()
    wanted = gated(naive("retention/naive.py").naive_retention(*read), x, weights)
    torch.testing.assert_close(mixed(x, RetNet(), weights), wanted, rtol=2e-4, atol=2e-4)


def test_the_authors_normalizers_vanish_in_the_norm() -> None:
    """Rows of the decays divided by the root of their sum, rows of weights by the sum of their sizes, at least one."""
    x, weights, (query, key, value) = parts(size=30.0)  # beside which ε is nothing
    place = torch.arange(x.shape[1])
    falls = (decays(query)[:, None, None] ** (place[:, None] - place)).tril()
    matrix = query @ key.mT * query.shape[-1] ** -0.5 * (falls / falls.sum(-1, keepdim=True).sqrt())
    matrix = matrix / matrix.abs().sum(-1, keepdim=True).clamp(min=1)
    found, wanted = mixed(x, RetNet(), weights), gated(matrix @ value, x, weights, epsilon=0.0)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_decays_are_the_papers() -> None:
    np.testing.assert_allclose(decays(torch.zeros(1, 3)).numpy(), [31 / 32, 63 / 64, 127 / 128])


def test_an_odd_head_dimension_is_refused() -> None:
    with pytest.raises(SchemeError, match="retnet rotates pairs of channels: head_dim must be even, got 3"):
        RetNet().initial_weights(2, 3)
