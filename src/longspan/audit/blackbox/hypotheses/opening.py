"""The opening of a text (BOS) is missing or doubled."""

from collections.abc import Iterator

from longspan.audit.blackbox.hypothesis import Asked, Family, Hypothesis
from longspan.audit.blackbox.prompt import Feeding


class Opening(Family):
    """What was asked, after another number of openings."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield nothing for a tokenizer that puts nothing before a text."""
        if asked.opening:
            yield Hypothesis("the opening token (BOS) is missing", asked.plan, Feeding(openings=0))
            yield Hypothesis("the opening token (BOS) is doubled", asked.plan, Feeding(openings=2))
