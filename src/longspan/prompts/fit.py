"""Find how much filler makes a prompt as long as wanted, for any tokenizer.

The number of tokens of a text is not a sum over its parts: merges cross seams, and more text may even have fewer
tokens. The search therefore relies on one law only: it keeps an amount that fits and a larger one that does not, until
they are neighbors. So it always ends, and what it finds fits.
"""

from collections.abc import Callable

MOST_UNITS_PER_TOKEN = 256
"""A filler whose unit has fewer tokens than 1/256 on average never fills a prompt."""


def largest(size: Callable[[int], float], budget: int) -> int | None:
    """Return an n ≥ 0 with size(n) ≤ budget < size(n + 1), or None where size(0) is over the budget already.

    Arguments:
        size: tokens of a prompt with n units of filler; infinite where there is no more filler.
        budget: tokens.

    >>> largest(lambda n: 5 + 3 * n, 16)
    3
    """
    low, at_low = 0, size(0)
    if at_low > budget:
        return None
    high, at_high = 1, size(1)
    while at_high <= budget:
        if high > MOST_UNITS_PER_TOKEN * (budget + 1):
            return high
        rate = max((at_high - at_low) / (high - low), 1 / MOST_UNITS_PER_TOKEN)
        step = int((budget - at_high) / rate) + 1
        low, at_low, high = high, at_high, high + min(step, 16 * high)
        at_high = size(high)
    interpolate = True
    while high - low > 1:
        middle = (low + high) // 2
        if interpolate and at_high < float("inf"):
            guess = low + int((high - low) * (budget - at_low) / (at_high - at_low))
            middle = min(max(guess, low + 1), high - 1)
        at_middle = size(middle)
        if at_middle <= budget:
            low, at_low = middle, at_middle
        else:
            high, at_high = middle, at_middle
        interpolate = not interpolate
    return low
