from dataclasses import replace

import pytest
import torch

from called import output
from huggingface import FLOAT32, rope_parameters
from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.mask.bidirectional import Bidirectional
from longspan.rotation.linear import Linear
from longspan.rotation.longrope import LongRoPE
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme

SHORT, LONG = (1.0, 1.05, 1.1, 1.5), (1.2, 3.5, 11.0, 16.0)


def rope_of(rotation: LongRoPE, length: int) -> torch.Tensor:
    """Frequencies of the last row of a text."""
    return rotation.segments(length)[-1].rotation.frequencies(8)


@pytest.mark.parametrize("length", [10, 4096, 4097, 10**5])
@pytest.mark.parametrize("factor", [1.0, 32.0])
def test_last_row_is_hugging_faces(length: int, factor: float) -> None:
    settings = {"short_factor": SHORT, "long_factor": LONG, "original_max_position_embeddings": 4096}
    wanted, gain = rope_parameters("longrope", 8, 4096, length=length, factor=factor, **settings)
    ours = LongRoPE(SHORT, LONG, 4096, factor=factor)
    torch.testing.assert_close(rope_of(ours, length), wanted, **FLOAT32)
    assert all(segment.rotation.gain == pytest.approx(gain, rel=1e-15) for segment in ours.segments(length))


def test_gain_of_phi_3() -> None:
    """Phi-3-mini-128k: s = 131072 / 4096 = 32, so √(1 + 5/12)."""
    assert LongRoPE(None, LONG, 4096, factor=32).gain == pytest.approx((17 / 12) ** 0.5, rel=1e-15)


def test_gain_where_the_trained_length_is_smallest() -> None:
    """L = 2 and s = 8: √(1 + 3)."""
    assert LongRoPE(None, LONG, 2, factor=8).gain == pytest.approx(2, rel=1e-15)


@pytest.mark.parametrize(("length", "ends"), [(3, [3]), (4, [4]), (5, [4, 5])])
def test_segments_end_with_the_text(length: int, ends: list[int]) -> None:
    assert [segment.stop for segment in LongRoPE(SHORT, LONG, 4).segments(length)] == ends


def test_rows_follow_their_own_length() -> None:
    rotation = LongRoPE(SHORT, LONG, 4, factor=2)
    short, long = replace(rotation, short=None, long=SHORT), replace(rotation, short=None)
    torch.testing.assert_close(output(rotation)[:, :, :4], output(short)[:, :, :4], rtol=0, atol=0)
    torch.testing.assert_close(output(rotation)[:, :, 4:], output(long)[:, :, 4:], rtol=0, atol=0)


def test_the_same_factor_for_every_pair_is_linear() -> None:
    ours = LongRoPE(None, (4.0,) * 4, 64, factor=1)
    torch.testing.assert_close(output(ours), output(Linear(4)), rtol=0, atol=0)


def test_left_open_the_search_starts_from_the_factor() -> None:
    geometry = Geometry(4, 4, 8, trained_length=100)
    assert LongRoPE().fill(geometry, 400) == LongRoPE(None, (4.0,) * 4, 100, factor=4.0, theta=10000.0)
    assert LongRoPE(partial=0.5, factor=2).fill(geometry, 400).long == (2.0, 2.0)
    assert LongRoPE(long=LONG).fill(geometry, 400).long == LONG


def test_factors_of_1_are_rope() -> None:
    ones = (1.0,) * 4
    torch.testing.assert_close(LongRoPE(long=ones, factor=1).frequencies(8), RoPE().frequencies(8), rtol=0, atol=0)
    assert LongRoPE(None, ones, 64, factor=1).changes_nothing(10**6)
    assert LongRoPE(ones, LONG, 64, factor=1).changes_nothing(64)
    assert not LongRoPE(ones, LONG, 64, factor=1).changes_nothing(65)
    assert not LongRoPE(None, LONG, 64, factor=1).changes_nothing(64)
    assert not LongRoPE(SHORT, ones, 64, factor=1).changes_nothing(65)
    assert not LongRoPE(None, ones, 64, factor=2).changes_nothing(1)


def test_two_lists_need_a_causal_mask_and_pin_the_positions() -> None:
    with pytest.raises(SchemeError, match="longrope is causal only"):
        Scheme.of(LongRoPE(SHORT, LONG, 64, factor=1), Bidirectional())
    Scheme.of(LongRoPE(LONG, LONG, 64, factor=1), Bidirectional())
    assert LongRoPE(SHORT, LONG, 64).shift_period is None
    assert LongRoPE(LONG, LONG, 64).shift_period == 1
    assert len(LongRoPE(LONG, LONG, 64).segments(1000)) == 1


def test_the_factor_is_named() -> None:
    """Elsewhere it comes first; nobody should have to guess."""
    with pytest.raises(TypeError):
        LongRoPE(SHORT, LONG, 64, 2.0)  # pyright: ignore[reportCallIssue]


def test_a_list_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(SchemeError, match="one factor per pair, 32 for 64 channels that rotate, got 4"):
        LongRoPE(long=LONG).frequencies(64)


@pytest.mark.parametrize("given", [{"short": (0.0,)}, {"long": (1.0, -1.0)}, {"trained_length": 1}, {"factor": 0.5}])
def test_out_of_range_is_refused(given: dict) -> None:
    with pytest.raises(SchemeError, match=next(iter(given))):
        LongRoPE(**given)
