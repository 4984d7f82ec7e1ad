import pytest
import torch
from x_transformers.x_transformers import RotaryEmbedding

from huggingface import FLOAT32, rope_parameters
from longspan.errors import SchemeError
from longspan.rotation.ntk import NTK
from longspan.rotation.rope import RoPE

FACTORS = [2, 4, 8, 16]


@pytest.mark.parametrize(("factor", "theta"), list(zip(FACTORS, [20221, 40890, 82685, 167199], strict=True)))
def test_aware_is_rope_with_a_larger_base(factor: int, theta: int) -> None:
    """bloc97's b · s^(d/(d−2)), computed apart; the bases are rounded to whole numbers."""
    larger = 10000 * factor ** (128 / 126)
    assert round(larger) == theta
    torch.testing.assert_close(NTK(factor).frequencies(128), RoPE(larger).frequencies(128), rtol=1e-14, atol=0)


@pytest.mark.parametrize("factor", FACTORS)
def test_aware_is_x_transformers(factor: int) -> None:
    theirs = RotaryEmbedding(64, base_rescale_factor=factor).inv_freq
    torch.testing.assert_close(NTK(factor).frequencies(64), theirs.double(), **FLOAT32)


def test_aware_is_what_hugging_face_computes_for_a_length() -> None:
    wanted, _ = rope_parameters("dynamic", 64, 2048, length=8192, factor=1.0)
    torch.testing.assert_close(NTK(4).frequencies(64), wanted, **FLOAT32)


def test_aware_keeps_the_fastest_and_divides_the_slowest() -> None:
    slower = RoPE().frequencies(128) / NTK(8).frequencies(128)
    assert slower[0] == 1
    torch.testing.assert_close(slower[-1].item(), 8.0, rtol=1e-14, atol=0)


@pytest.mark.parametrize(("factor", "slowest"), list(zip(FACTORS, [1.978, 3.914, 7.744, 15.32], strict=True)))
def test_base_multiplies_the_base(factor: int, slowest: float) -> None:
    ours = NTK(factor, "base").frequencies(128)
    torch.testing.assert_close(ours, RoPE(10000.0 * factor).frequencies(128), rtol=1e-14, atol=0)
    assert (RoPE().frequencies(128) / ours)[-1].item() == pytest.approx(slowest, abs=5e-3 if factor == 16 else 5e-4)


@pytest.mark.parametrize(("factor", "fastest"), list(zip(FACTORS, [1.0109, 1.0219, 1.0330, 1.0443], strict=True)))
def test_fixed_is_sus_digits(factor: int, fastest: float) -> None:
    """θ''_i = 1 / (λ (βλ)^i), as the article writes it."""
    beta, lam = 10000 ** (2 / 128), factor ** (2 / 128)
    ours = NTK(factor, "fixed").frequencies(128)
    wanted = torch.tensor([1 / (lam * (beta * lam) ** i) for i in range(64)], dtype=torch.float64)
    torch.testing.assert_close(ours, wanted, rtol=1e-13, atol=0)
    slower = RoPE().frequencies(128) / ours
    assert slower[0].item() == pytest.approx(fastest, abs=5e-5)
    assert slower[-1].item() == pytest.approx(factor, rel=1e-13)


@pytest.mark.parametrize("variant", ["aware", "base", "fixed"])
def test_factor_1_is_rope(variant) -> None:
    torch.testing.assert_close(NTK(1, variant).frequencies(64), RoPE().frequencies(64), rtol=0, atol=0)
    assert NTK(1, variant).changes_nothing(10**6)
    assert not NTK(2, variant).changes_nothing(1)


def test_one_pair_has_no_slower_one_to_stretch() -> None:
    """d = 2, where the exponent d/(d−2) of the base has no meaning."""
    assert NTK(4).frequencies(2).tolist() == [1.0]


def test_a_factor_below_1_is_refused() -> None:
    with pytest.raises(SchemeError, match="ntk: factor must be at least 1"):
        NTK(0.5)
