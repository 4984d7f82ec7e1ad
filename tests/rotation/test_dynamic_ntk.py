import pytest
import torch

from called import EXACT, output
from huggingface import FLOAT32, rope_parameters
from longspan.compute.attend import attend
from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.mask.bidirectional import Bidirectional
from longspan.rotation.dynamic_ntk import DynamicNTK
from longspan.rotation.ntk import NTK
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme


@pytest.mark.parametrize("length", [1, 2048, 2049, 3000, 16384])
def test_a_given_length_is_hugging_faces(length: int) -> None:
    """Their factor 1, for which s = N / L."""
    wanted, gain = rope_parameters("dynamic", 64, 2048, length=length, factor=1.0)
    ours = DynamicNTK(2048, length)
    torch.testing.assert_close(ours.frequencies(64), wanted, **FLOAT32)
    assert ours.gain == gain
    assert len(ours.segments(10**6)) == 1


@pytest.mark.parametrize(
    ("length", "qwen"), [(1, 1), (2048, 1), (2049, 3), (4096, 3), (4097, 7), (8192, 7), (16384, 15)]
)
def test_steps_where_qwen_steps(length: int, qwen: int) -> None:
    """Qwen's α = max(2^⌈log2(N/L) + 1⌉ − 1, 1) at L = 2048; α = 2s − 1 with the s used here."""
    last = DynamicNTK(2048).segments(length)[-1]
    assert last.start <= length - 1 < last.stop
    assert last.rotation == NTK((qwen + 1) / 2)


def test_segments_of_a_long_text() -> None:
    segments = DynamicNTK(100).segments(401)
    assert [(s.start, s.stop) for s in segments[1:]] == [(100, 200), (200, 400), (400, 401)]
    assert [s.rotation for s in segments] == [NTK(1), NTK(2), NTK(4), NTK(8)]


def test_rows_within_the_trained_length_are_those_of_rope() -> None:
    """Bit for bit, and whatever follows: no row knows the length of the call."""
    torch.testing.assert_close(output(DynamicNTK(4))[:, :, :4], output(RoPE())[:, :, :4], rtol=0, atol=0)
    torch.testing.assert_close(output(DynamicNTK(4))[:, :, 4:], output(NTK(2))[:, :, 4:], rtol=0, atol=0)


def test_layout_and_part_are_kept_in_every_segment() -> None:
    for segment in DynamicNTK(4, theta=50.0, layout="interleaved", partial=0.5).segments(9):
        rotation = segment.rotation
        assert isinstance(rotation, NTK)
        assert (rotation.theta, rotation.layout, rotation.partial) == (50.0, "interleaved", 0.5)


def test_the_length_stays_open() -> None:
    filled = DynamicNTK().fill(Geometry(4, 4, 8, trained_length=100), 400)
    assert filled == DynamicNTK(100, None, theta=10000.0)


def test_without_a_causal_mask_the_length_must_be_given() -> None:
    with pytest.raises(SchemeError, match="dynamic_ntk is causal only"):
        Scheme.of(DynamicNTK(4), Bidirectional())
    query, key, value = torch.randn(3, 1, 1, 7, 4, dtype=torch.float64)
    out = attend(query, key, value, Scheme.of(DynamicNTK(4, 8), Bidirectional()))
    torch.testing.assert_close(out, attend(query, key, value, Scheme.of(NTK(2), Bidirectional())), **EXACT)


def test_neutral_within_the_trained_length() -> None:
    assert DynamicNTK(100).changes_nothing(100)
    assert not DynamicNTK(100).changes_nothing(101)
    assert DynamicNTK(100, 50).changes_nothing(10**6)
    assert not DynamicNTK(100, 101).changes_nothing(1)
    assert DynamicNTK(100).shift_period is None
    assert DynamicNTK(100, 101).shift_period == 1


def test_trained_on_single_tokens() -> None:
    """The smallest trained length: the first row is RoPE's, the second already has twice the base's stretch."""
    segments = DynamicNTK(1).segments(3)
    assert [(s.stop, s.rotation) for s in segments] == [(1, NTK(1)), (2, NTK(2)), (3, NTK(4))]


@pytest.mark.parametrize("given", [{"trained_length": 0}, {"length": 0}])
def test_out_of_range_is_refused(given: dict) -> None:
    with pytest.raises(SchemeError, match=next(iter(given))):
        DynamicNTK(**given)
