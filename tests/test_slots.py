"""What every part answers that says nothing else, and the arithmetic that parts of one slot share."""

import pytest
import torch

from longspan.distance.rerope import ReRoPE
from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.mask.all import All
from longspan.mask.causal import Causal
from longspan.normalizer.softmax import Softmax
from longspan.rotation.linear import Linear
from longspan.rotation.rope import RoPE
from longspan.slots import Band, Part, geometric

TRAINED = Geometry(8, 8, 16, trained_length=64)


def test_a_text_within_the_trained_length_is_not_stretched() -> None:
    """The factor is wanted over trained length, but never below one."""
    filled = [Linear().fill(TRAINED, length) for length in (16, 64, 256)]
    assert filled == [Linear(factor, theta=10000.0) for factor in (1.0, 1.0, 4.0)]


@pytest.mark.parametrize("part", [Softmax(), Causal(), All(), RoPE()])
def test_any_shift_is_free_where_a_part_says_nothing(part: Part) -> None:
    """The smallest shift is by one token; by zero would be none."""
    assert part.shift_period == 1


def test_a_part_changes_something_unless_it_says_otherwise() -> None:
    """Rotation, softmax and a causal mask do, for any text of two tokens."""
    assert not any(part.changes_nothing(2) for part in (RoPE(), Softmax(), Causal()))


@pytest.mark.parametrize(("partial", "rotating"), [(1.0, 64), (0.5, 32), (0.25, 16)])
def test_the_channels_that_rotate_are_the_part_asked_for(partial: float, rotating: int) -> None:
    assert RoPE(partial=partial).spectrum(64).rotary_dim == rotating


@pytest.mark.parametrize("theta", [1.0, 0.5, -10000.0])
def test_a_base_that_slows_no_pair_is_refused(theta: float) -> None:
    """Frequencies theta^(−2i/d) fall with i only where theta is above 1."""
    with pytest.raises(SchemeError, match="rope: theta must be above 1, got"):
        RoPE(theta)


@pytest.mark.parametrize("partial", [0.0, -0.5, 1.5])
def test_no_more_channels_rotate_than_there_are(partial: float) -> None:
    with pytest.raises(SchemeError, match=r"rope: partial must be in \(0, 1\], got"):
        RoPE(partial=partial)


def test_half_a_pair_cannot_rotate() -> None:
    with pytest.raises(SchemeError, match=r"head_dim 10 · partial 0.5 = 5 is odd"):
        RoPE(partial=0.5).spectrum(10)
    assert RoPE(partial=0.6).spectrum(10).rotary_dim == 6


def test_frequencies_of_four_pairs_by_hand() -> None:
    """10⁴ to the power 0, −1/4, −1/2, −3/4; none where nothing turns."""
    wanted = torch.tensor([1, 0.1, 0.01, 0.001], dtype=torch.float64)
    torch.testing.assert_close(geometric(None, 8), wanted, rtol=1e-14, atol=0)
    assert geometric(None, 0).shape == (0,)


def test_a_band_of_half_steps_keeps_them() -> None:
    """Of blocks of one token nothing is rounded: 1½ tokens are fewer than 2, though 3 − ⌊1.5⌋ are not."""
    query, key = torch.tensor([3.0, 3.0], dtype=torch.float64), torch.tensor([1.5, 1.0], dtype=torch.float64)
    assert Band(0, 2)(query, key).tolist() == [True, False]
    near, far, _ = ReRoPE(2).branches()
    assert near.holds(query, key).tolist() == [True, False]
    assert far.holds(query, key).tolist() == [False, True]
