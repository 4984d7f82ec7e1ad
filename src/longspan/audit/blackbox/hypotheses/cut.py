"""The context is cut: the server drops the start, the end or the middle of a text that is longer than its limit.

Source: ollama#17427 (half of `num_ctx`), hermes-agent#5929.
"""

from collections.abc import Iterator

from longspan.audit.blackbox.hypothesis import Asked, Family, Hypothesis
from longspan.audit.blackbox.prompt import Feeding

DEFAULTS = (2048, 4096, 8192)
"""Limits that servers have where nobody sets one, tokens."""
MOST = 0.9
"""The largest limit, as a share of the longest request: a text that hardly exceeds it says nothing about it."""


class Cut(Family):
    """What was asked, on a part of the text."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield limits around the trained length that the longest request clearly exceeds."""
        longest = max(asked.lengths)
        length = asked.trained_length
        limits = {length // 4, length // 2, length, 2 * length, longest // 2, *DEFAULTS}
        for limit in sorted(limit for limit in limits if 1 < limit <= MOST * longest):
            last = Feeding(back=limit)
            yield Hypothesis(f"the context is cut to the last {limit} tokens", asked.plan, last)
            yield Hypothesis(f"the context is cut to the first {limit} tokens", asked.plan, Feeding(limit, 0))
            half = limit // 2
            ends = Feeding(half, limit - half)
            yield Hypothesis(f"the middle is cut out, {limit} tokens are left", asked.plan, ends)
