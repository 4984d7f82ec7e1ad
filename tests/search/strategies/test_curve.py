"""The curve: published rescalings are points of it, it never falls, and every point of the cube is one."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import SchemeError
from longspan.rotation.linear import Linear
from longspan.rotation.llama3 import Llama3
from longspan.rotation.ntk import NTK
from longspan.rotation.ntk_mixed import NTKMixed
from longspan.rotation.yarn import YaRN
from longspan.search.strategies.curve import KNOTS, Curve, Space
from longspan.slots import RotaryEmbedding

EXACT = 1e-12
Published = Linear | NTK | YaRN
DIMS = st.sampled_from([4, 16, 64, 128])
FACTORS = st.floats(1.0, 64.0)


@st.composite
def rescalings(draw: st.DrawFn) -> Published:
    """Linear, every NTK, and YaRN with any ramp over the index and any gain."""
    factor, theta = draw(FACTORS), draw(st.sampled_from([100.0, 1e4, 5e5]))
    slow = draw(st.floats(0.1, 4.0))
    return draw(
        st.sampled_from(
            [
                Linear(factor, theta=theta),
                *(NTK(factor, variant, theta=theta) for variant in ("aware", "base", "fixed")),
                YaRN(
                    factor,
                    draw(st.integers(8, 10_000)),
                    slow * draw(st.floats(1.1, 50.0)),
                    slow,
                    draw(st.sampled_from(["index", "unrounded", None])),
                    theta=theta,
                ),
            ]
        )
    )


def factors_of(rotation: RotaryEmbedding, rotary_dim: int) -> np.ndarray:
    """What the published formula divides each frequency by."""
    return (rotation.original(rotary_dim) / rotation.frequencies(rotary_dim)).numpy()


@given(rescalings(), DIMS)
def test_a_published_rescaling_is_a_point(rotation: RotaryEmbedding, rotary_dim: int) -> None:
    curve = Curve.of(rotation, rotary_dim)
    np.testing.assert_allclose(curve.factors(rotary_dim // 2), factors_of(rotation, rotary_dim), rtol=EXACT)
    assert curve.gain == rotation.gain


@given(rescalings(), DIMS, st.floats(1.0, 2.0))
def test_the_cube_holds_it(rotation: Published, rotary_dim: int, more: float) -> None:
    """With N/L from half of the factor on: untrained, NTK needs twice the factor."""
    pairs, curve = rotary_dim // 2, Curve.of(rotation, rotary_dim)
    space = Space(pairs, 1.001 * more * max(1.0, rotation.known(rotation.factor, "factor") / 2))
    again = space.curve(space.point(curve))
    np.testing.assert_allclose(again.factors(pairs), curve.factors(pairs), rtol=1e-9)
    assert again.gain == pytest.approx(curve.gain, rel=1e-12)


@given(st.lists(st.floats(0, 1), min_size=KNOTS + 3, max_size=KNOTS + 3), st.integers(2, 64), st.floats(1.01, 64))
def test_every_point_is_a_curve_that_never_falls(point: list[float], pairs: int, stretch: float) -> None:
    space = Space(pairs, stretch)
    curve = space.curve(np.array(point))
    found = np.array(curve.factors(pairs))
    assert (np.diff(found) >= -EXACT * found[1:]).all()
    assert found[0] >= 1 - EXACT
    assert found[-1] <= 2 * stretch * (1 + EXACT)
    assert 1 <= curve.gain <= 1 + 0.2 * log(2 * stretch) + EXACT


@given(st.lists(st.floats(0, 1), min_size=KNOTS + 3, max_size=KNOTS + 3), st.integers(2, 64), st.floats(1.01, 64))
def test_there_and_back(point: list[float], pairs: int, stretch: float) -> None:
    space = Space(pairs, stretch)
    curve = space.curve(np.array(point))
    np.testing.assert_allclose(space.curve(space.point(curve)).factors(pairs), curve.factors(pairs), rtol=1e-9)


def test_numbers_by_hand() -> None:
    """λ = 1 / ((1 − r) + r e^(−A)): the ramp is 0, 1/2, 1; A is ln 4 at the end and half of it in the middle."""
    curve = Curve(low=0.0, width=2.0, logs=tuple(log(4) * knot / 3 for knot in range(4)), gain=1.0)
    assert curve.factors(3) == pytest.approx((1.0, 1 / (0.5 + 0.5 / 2), 4.0))


@pytest.mark.parametrize(
    "rotation", [NTKMixed(4.0), Llama3(4.0, 64), YaRN(4.0, 64, ramp="turns")], ids=lambda rotation: rotation.name
)
def test_what_is_no_point_is_refused(rotation: RotaryEmbedding) -> None:
    with pytest.raises(SchemeError, match="no point of the family"):
        Curve.of(rotation, 16)


def test_bad_curves_are_refused() -> None:
    with pytest.raises(SchemeError, match="never fall"):
        Curve(0.0, 1.0, (1.0, 0.5, 1.0, 1.0), 1.0)
    with pytest.raises(SchemeError, match="never fall"):
        Curve(0.0, 1.0, (-0.1, 0.5, 1.0, 1.0), 1.0)
    with pytest.raises(SchemeError, match="above 0 pairs"):
        Curve(0.0, 0.0, (0.0,) * KNOTS, 1.0)
