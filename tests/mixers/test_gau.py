"""Outside sources: the formulas written out, with complex numbers for the rotation; what the articles say."""

from math import log
from typing import Literal

import pytest
import torch

from longspan.compute.attend import attend
from longspan.compute.mix import mix
from longspan.errors import SchemeError
from longspan.mixers.gau import GAU
from mixers.by_formula import drawn, mixed, text


def written_out(x: torch.Tensor, weights: dict[str, torch.Tensor], plus: bool, causal: bool = True) -> torch.Tensor:
    def silu(y: torch.Tensor) -> torch.Tensor:
        return y / (1 + (-y).exp())

    tokens = x.shape[1]
    shared = silu(x @ weights["shared"].T)
    half = shared.shape[-1] // 2
    angles = torch.arange(tokens)[:, None] * 1e4 ** (-torch.arange(half) / half).double()
    rotated = []
    for i in range(2):
        affine = shared * weights["scales"][i] + weights["offsets"][i]
        turned = torch.complex(affine[..., :half], affine[..., half:]) * torch.polar(torch.ones_like(angles), angles)
        rotated.append(torch.cat([turned.real, turned.imag], -1))
    scores = rotated[0] @ rotated[1].mT / (2 * half) ** 0.5
    seen = torch.ones(tokens, tokens).tril().double() if causal else torch.ones(tokens, tokens).double()
    number = seen.sum(-1, keepdim=True)
    if plus:
        grown = (scores * number.clamp(min=16).log() / log(512)).exp() * seen
        matrix = grown / grown.sum(-1, keepdim=True)
    else:
        matrix = scores.clamp(min=0) ** 2 * seen / number
    mixed = matrix @ silu(x @ weights["value"].T)
    return (silu(x @ weights["gate"].T) * mixed) @ weights["out"].T


@pytest.mark.parametrize("normalizer", ["softmax_plus", "squared_relu"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("repeats", [1, 4])
def test_is_the_formula(normalizer: Literal["softmax_plus", "squared_relu"], causal: bool, repeats: int) -> None:
    """Also beyond the 16 tokens below which the scale of softmax_plus does not fall."""
    mixer = GAU(normalizer)
    weights, x = drawn(mixer), text().repeat(1, repeats, 1)
    found = mix(x, mixer, weights, causal=causal)[0]
    wanted = written_out(x, weights, normalizer == "softmax_plus", causal)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_softmax_plus_is_softmax_at_512_tokens() -> None:
    weights, x = drawn(GAU()), torch.randn(1, 512, text().shape[2], dtype=torch.float64)
    found = mixed(x, GAU(), weights)[:, -1]
    shared = torch.nn.functional.silu(x @ weights["shared"].T)
    query, key = (shared * weights["scales"][i] + weights["offsets"][i] for i in range(2))
    value = torch.nn.functional.silu(x @ weights["value"].T)
    plain = attend(query[:, None, -1:], key[:, None], value[:, None], "rope")[:, 0, 0]
    wanted = (torch.nn.functional.silu(x[:, -1] @ weights["gate"].T) * plain) @ weights["out"].T
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("expansion", [1, 2, 3])
def test_one_token_is_a_gated_linear_unit(expansion: int) -> None:
    """Attention to nothing but itself is the identity: A = I."""
    mixer = GAU(expansion=expansion)
    weights, x = drawn(mixer), text()[:, :1]
    silu = torch.nn.functional.silu
    wanted = (silu(x @ weights["gate"].T) * silu(x @ weights["value"].T)) @ weights["out"].T
    torch.testing.assert_close(mixed(x, mixer, weights), wanted, rtol=1e-12, atol=1e-12)


def test_no_width_is_refused() -> None:
    with pytest.raises(SchemeError, match="at least 1"):
        GAU(expansion=0)
