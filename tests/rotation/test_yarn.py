from math import log

import pytest
import torch

from called import EXACT, output
from huggingface import FLOAT32, rope_parameters
from longspan.errors import SchemeError
from longspan.rotation.ntk_by_parts import NTKByParts
from longspan.rotation.rope import RoPE
from longspan.rotation.yarn import YaRN
from longspan.scale.constant import Constant


@pytest.mark.parametrize(("ramp", "truncate"), [("index", True), ("unrounded", False)])
@pytest.mark.parametrize(
    ("head_dim", "trained_length", "factor", "theta"),
    [(128, 4096, 16.0, 10000.0), (128, 2048, 32.0, 10000.0), (64, 4096, 32.0, 150000.0), (16, 64, 2.0, 100.0)],
)
def test_frequencies_and_gain_are_hugging_faces(
    ramp, truncate: bool, head_dim: int, trained_length: int, factor: float, theta: float
) -> None:
    settings = {"factor": factor, "truncate": truncate, "original_max_position_embeddings": trained_length}
    wanted, gain = rope_parameters("yarn", head_dim, trained_length, theta=theta, **settings)
    ours = YaRN(factor, trained_length, ramp=ramp, theta=theta)
    # Their ramp is float32 too: near its ends a few more digits are lost.
    torch.testing.assert_close(ours.frequencies(head_dim), wanted, rtol=1e-5, atol=0)
    assert ours.gain == pytest.approx(gain, rel=1e-15)


def test_other_ends_are_hugging_faces() -> None:
    """The beta_fast and beta_slow of the LongRoPE authors' Mistral search."""
    settings = {"beta_fast": 128.0, "beta_slow": 2.0, "original_max_position_embeddings": 4096}
    wanted, _ = rope_parameters("yarn", 128, 4096, factor=8.0, **settings)
    torch.testing.assert_close(YaRN(8, 4096, fast=128, slow=2).frequencies(128), wanted, **FLOAT32)


@pytest.mark.parametrize(
    ("trained_length", "exact", "rounded"), [(2048, (16.128, 40.210), (16, 41)), (4096, (20.944, 45.027), (20, 46))]
)
def test_ends_of_the_ramp(trained_length: int, exact: tuple, rounded: tuple) -> None:
    """d = 128, b = 10000: c(32) and c(1)."""
    assert YaRN(4, trained_length).ends(128) == rounded
    assert YaRN(4, trained_length, ramp="unrounded").ends(128) == pytest.approx(exact, abs=5e-4)


def test_ends_stay_among_the_channels() -> None:
    """Where no pair turns once in so short a text, all but the first are interpolated."""
    assert YaRN(4, 16, theta=100).ends(8) == (0, 1)
    assert YaRN(4, 2).ends(8) == (0, 0) == YaRN(4, 1).ends(8)
    torch.testing.assert_close(YaRN(4, 2).frequencies(8)[1:], RoPE().frequencies(8)[1:] / 4, rtol=1e-15, atol=0)
    assert YaRN(4, 10**9, theta=2).ends(8) == (7, 7)


@pytest.mark.parametrize(("factor", "logits"), [(1, 1.0), (2, 1.143), (4, 1.296), (8, 1.459), (16, 1.631), (32, 1.813)])
def test_temperature(factor: int, logits: float) -> None:
    """What scores are multiplied by: the square of 0.1 ln s + 1."""
    assert YaRN(factor, 4096).gain ** 2 == pytest.approx(logits, abs=5e-4)


def test_gain_is_a_temperature() -> None:
    """The gain folded into cos and sin does what multiplying the scores does."""
    warm, plain = YaRN(8, 4, ramp="turns"), NTKByParts(8, 4)
    scores = 8**-0.5 * (0.1 * log(8) + 1) ** 2
    torch.testing.assert_close(output(warm), output(plain, Constant(scores)), **EXACT)


def test_ramp_by_turns_is_ntk_by_parts() -> None:
    ours = YaRN(8, 4096, ramp="turns").frequencies(128)
    torch.testing.assert_close(ours, NTKByParts(8, 4096).frequencies(128), rtol=0, atol=0)


@pytest.mark.parametrize(("trained_length", "apart", "where"), [(2048, 0.384, (16, 41)), (4096, 0.367, (20, 46))])
def test_paper_and_code_differ_on_the_pairs_between(trained_length: int, apart: float, where: tuple) -> None:
    """How much of a frequency is kept, s = 8: read off θ' = (γ + (1 − γ)/s) θ. Up to 2.34 in the frequencies."""
    plain = RoPE().frequencies(128)
    paper = YaRN(8, trained_length, ramp="turns").frequencies(128)
    code = YaRN(8, trained_length).frequencies(128)
    kept = [(frequencies / plain - 1 / 8) / (1 - 1 / 8) for frequencies in (paper, code)]
    assert (kept[1] - kept[0]).abs().max().item() == pytest.approx(apart, abs=5e-4)
    assert 2 < (code / paper).max().item() < 2.345
    torch.testing.assert_close(paper[: where[0]], code[: where[0]], rtol=1e-14, atol=0)
    torch.testing.assert_close(paper[where[1] :], code[where[1] :], rtol=1e-14, atol=0)


@pytest.mark.parametrize("ramp", ["index", "unrounded", "turns"])
def test_factor_1_is_rope(ramp) -> None:
    ours = YaRN(1, 2048, ramp=ramp)
    torch.testing.assert_close(ours.frequencies(64), RoPE().frequencies(64), rtol=1e-15, atol=0)
    assert ours.gain == 1
    assert ours.changes_nothing(10**6)
    assert not YaRN(2, 2048, ramp=ramp).changes_nothing(1)


@pytest.mark.parametrize("given", [{"factor": 0.5}, {"trained_length": 0}, {"slow": 0.0}, {"slow": 8.0, "fast": 8.0}])
def test_out_of_range_is_refused(given: dict) -> None:
    with pytest.raises(SchemeError, match=list(given)[-1]):
        YaRN(**given)
