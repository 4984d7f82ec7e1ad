from math import pi

import pytest
import torch

from huggingface import FLOAT32, rope_parameters
from longspan.errors import SchemeError
from longspan.rotation.linear import Linear
from longspan.rotation.ntk_by_parts import NTKByParts
from longspan.rotation.rope import RoPE


def test_pair_by_pair_as_in_the_paper() -> None:
    """Eqs. 16 to 18, spelled out: s = 4, L = 2048, d = 128, b = 10000."""
    wanted = []
    for i in range(64):
        theta = 10000 ** (-2 * i / 128)
        turns = 2048 / (2 * pi / theta)
        ramp = 0 if turns < 1 else 1 if turns > 32 else (turns - 1) / (32 - 1)
        wanted.append((1 - ramp) * theta / 4 + ramp * theta)
    assert {0, 1} < {round(x * 10000 ** (2 * i / 128), 12) for i, x in enumerate(wanted)} | {0}
    ours = NTKByParts(4, 2048).frequencies(128)
    torch.testing.assert_close(ours, torch.tensor(wanted, dtype=torch.float64), rtol=1e-13, atol=0)


def test_with_other_ends_it_is_what_hugging_face_computes_for_llama_3() -> None:
    settings = {"low_freq_factor": 2.0, "high_freq_factor": 32.0, "original_max_position_embeddings": 4096}
    wanted, _ = rope_parameters("llama3", 128, 4096, factor=8.0, **settings)
    torch.testing.assert_close(NTKByParts(8, 4096, slow=2).frequencies(128), wanted, **FLOAT32)


def test_ends_that_every_pair_passes_give_rope_and_ends_that_none_reaches_give_linear() -> None:
    all_fast = NTKByParts(4, 2048, slow=1e-9, fast=1e-8).frequencies(64)
    torch.testing.assert_close(all_fast, RoPE().frequencies(64), rtol=0, atol=0)
    all_slow = NTKByParts(4, 2048, slow=1e9, fast=1e10).frequencies(64)
    torch.testing.assert_close(all_slow, Linear(4).frequencies(64), rtol=0, atol=0)


def test_factor_1_is_rope() -> None:
    torch.testing.assert_close(NTKByParts(1, 2048).frequencies(64), RoPE().frequencies(64), rtol=1e-15, atol=0)
    assert NTKByParts(1).changes_nothing(10**6)
    assert not NTKByParts(2).changes_nothing(1)


def test_slow_may_be_0() -> None:
    """γ = turns / fast; the first pair turns 1000 / 2π times, which is half of 1000 / π."""
    ours = NTKByParts(3, 1000, slow=0, fast=1000 / pi).frequencies(2)
    assert ours.item() == pytest.approx(1 / 2 + 1 / 2 / 3, rel=1e-14)


def test_trained_on_single_tokens_is_linear() -> None:
    """No pair turns once."""
    ours = NTKByParts(4, 1).frequencies(64)
    torch.testing.assert_close(ours, Linear(4).frequencies(64), rtol=0, atol=0)


def test_an_open_length_is_named() -> None:
    with pytest.raises(SchemeError, match="needs trained_length"):
        NTKByParts(4).frequencies(64)


@pytest.mark.parametrize("given", [{"factor": 0.5}, {"trained_length": 0}, {"slow": -1.0}, {"slow": 8.0, "fast": 8.0}])
def test_out_of_range_is_refused(given: dict) -> None:
    with pytest.raises(SchemeError, match=list(given)[-1]):
        NTKByParts(**given)
