import pytest
import torch

from called import EXACT, output
from longspan.compute.attend import attend
from longspan.mask.bidirectional import Bidirectional
from longspan.rotation.nope import NoPE
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme

JUMPS = torch.tensor([0, 9, 9, 100, 101, 1000])
ORDER = torch.tensor([3, 1, 5, 0, 2, 4, 6])


def test_positions_mean_nothing() -> None:
    torch.testing.assert_close(output(NoPE(), positions=JUMPS), output(NoPE()), rtol=0, atol=0)
    assert not torch.allclose(output(RoPE(), positions=JUMPS), output(RoPE()))


@pytest.mark.parametrize("rotation", [NoPE(), RoPE()])
def test_the_last_token_sees_a_set(rotation: NoPE | RoPE) -> None:
    """In one causal layer the order of the tokens before it matters with rotation only."""
    query, key, value = torch.randn(3, 1, 1, 7, 4, dtype=torch.float64)
    scheme = Scheme.of(rotation)
    last = attend(query, key, value, scheme)[:, :, -1]
    mixed = attend(query, key[:, :, ORDER], value[:, :, ORDER], scheme)[:, :, -1]
    assert torch.allclose(mixed, last, **EXACT) == (rotation == NoPE())


def test_a_second_causal_layer_sees_the_order() -> None:
    """Each token of the first layer averages over those before it: that is how positions leak."""
    x = torch.randn(1, 1, 7, 4, dtype=torch.float64)

    def twice(x: torch.Tensor) -> torch.Tensor:
        once = attend(x, x, x, "nope")
        return attend(once, once, once, "nope")[:, :, -1]

    assert not torch.allclose(twice(x[:, :, ORDER]), twice(x))


def test_without_a_causal_mask_nothing_tells_tokens_apart() -> None:
    query, key, value = torch.randn(3, 1, 1, 7, 4, dtype=torch.float64)
    scheme = Scheme.of(NoPE(), Bidirectional())
    mixed = attend(query[:, :, ORDER], key[:, :, ORDER], value[:, :, ORDER], scheme)
    torch.testing.assert_close(mixed, attend(query, key, value, scheme)[:, :, ORDER], **EXACT)
