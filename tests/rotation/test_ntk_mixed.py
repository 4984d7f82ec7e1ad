import pytest
import torch

from longspan.errors import SchemeError
from longspan.rotation.linear import Linear
from longspan.rotation.ntk import NTK
from longspan.rotation.ntk_mixed import NTKMixed
from longspan.rotation.rope import RoPE


def test_slowing_of_the_released_patch() -> None:
    """k = 12, b = 0.75, d = 128: pairs 1, 32 and 64 of github.com/bojone/rerope, ntk_patch.py."""
    slower = RoPE().frequencies(128) / NTKMixed(12, 0.75).frequencies(128)
    assert [round(slower[j - 1].item(), 3) for j in (1, 32, 64)] == [1.116, 4.382, 12.0]


def test_exponential_form() -> None:
    """λ_1 … λ_j = exp(a j^b) with a = ln k / (d/2)^b, as the article writes it."""
    j = torch.arange(1, 33, dtype=torch.float64)
    a = torch.tensor(8.0, dtype=torch.float64).log() / 32**0.625
    wanted = RoPE().frequencies(64) / (a * j**0.625).exp()
    torch.testing.assert_close(NTKMixed(8).frequencies(64), wanted, rtol=1e-13, atol=0)


def test_exponent_1_is_ntk_fixed() -> None:
    ours = NTKMixed(6, 1).frequencies(64)
    torch.testing.assert_close(ours, NTK(6, "fixed").frequencies(64), rtol=1e-14, atol=0)


def test_exponent_0_is_linear() -> None:
    torch.testing.assert_close(NTKMixed(6, 0).frequencies(64), Linear(6).frequencies(64), rtol=1e-15, atol=0)


def test_factor_1_is_rope() -> None:
    torch.testing.assert_close(NTKMixed(1).frequencies(64), RoPE().frequencies(64), rtol=0, atol=0)
    assert NTKMixed(1).changes_nothing(10**6)
    assert not NTKMixed(2).changes_nothing(1)


@pytest.mark.parametrize("given", [{"factor": 0.5}, {"exponent": -1.0}])
def test_out_of_range_is_refused(given: dict) -> None:
    with pytest.raises(SchemeError, match=next(iter(given))):
        NTKMixed(**given)
