"""The bound on the base against the exact search and the paper's table."""

import pytest

from longspan.audit.counting.base import first_negative, smallest_base
from longspan.base_bound import first_negative as exact_first_negative
from longspan.base_bound import smallest_theta
from longspan.slots import geometric


@pytest.mark.parametrize("length", [100, 1707, 1708, 20_000])
def test_the_first_negative_distance_is_the_exact_one(length: int) -> None:
    assert first_negative(geometric(10000, 128), length) == exact_first_negative(10000, length, 128)


def test_the_first_negative_distance_after_a_start() -> None:
    spectrum = geometric(10000, 128)
    first = first_negative(spectrum, 20_000)
    assert first is not None
    assert first_negative(spectrum, 20_000, first) == first
    assert first_negative(spectrum, 20_000, first + 1) != first


def test_short_texts_are_searched_exactly() -> None:
    assert smallest_base(1024, 128) == smallest_theta(1024, 128)


@pytest.mark.parametrize(("length", "published"), [(8192, 8.4e4), (16384, 3.1e5), (32768, 6.4e5), (131072, 7.8e6)])
def test_long_texts_agree_with_the_paper(length: int, published: float) -> None:
    """Men et al. 2024, table 1; their search stops at other islands of good bases, up to a third away."""
    found = smallest_base(length, 128)
    assert found is not None
    assert first_negative(geometric(found, 128), length) is None
    assert 0.67 < found / published < 1.5


def test_a_single_pair_has_no_base() -> None:
    assert smallest_base(100, 2) is None
