import random

from hypothesis import given
from hypothesis import strategies as st

from longspan.prompts.fit import largest

SIZES = st.lists(st.integers(0, 30), min_size=1, max_size=40)


@given(SIZES, st.integers(0, 200))
def test_what_is_found_fits_and_one_more_does_not(steps: list[int], budget: int) -> None:
    """Also where sizes rise and fall: only neighbors are compared."""
    generator = random.Random(repr(steps))
    sizes = [max(0, 5 * n + generator.randint(-9, 9)) for n, _ in enumerate(steps)]

    def size(n: int) -> float:
        return sizes[n] if n < len(sizes) else float("inf")

    found = largest(size, budget)
    if found is None:
        assert sizes[0] > budget
    else:
        assert size(found) <= budget < size(found + 1)


def test_few_sizes_are_asked_for_a_long_prompt() -> None:
    """Every one costs the tokens of a whole prompt."""
    asked: list[int] = []

    def size(n: int) -> float:
        asked.append(n)
        return 300 + 26.4 * n + n % 3

    assert size(largest(size, 10**6) or 0) <= 10**6
    assert len(asked) < 12


def test_a_filler_without_tokens_ends() -> None:
    assert largest(lambda _: 1, 100) is not None


def test_nothing_that_fits_is_none() -> None:
    assert largest(lambda n: 11 + n, 10) is None
    assert largest(lambda n: 10 + n, 10) == 0
