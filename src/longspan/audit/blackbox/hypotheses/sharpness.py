"""Log-n scaling is missing, or applied where nobody asked for it."""

from collections.abc import Iterator
from dataclasses import replace

from longspan.audit.blackbox.hypothesis import PLAIN, Asked, Family, Hypothesis
from longspan.sharpness.log_length import LogLength


class Sharpness(Family):
    """The asked scheme with or without log-n."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield the one that was not asked."""
        scheme = asked.scheme
        if scheme is None:
            return
        if scheme.sharpness != PLAIN.sharpness:
            yield Hypothesis("log-n scaling is missing", replace(scheme, sharpness=PLAIN.sharpness))
        else:
            extra = LogLength(trained_length=asked.trained_length)
            yield Hypothesis("log-n scaling is applied as well", replace(scheme, sharpness=extra))
