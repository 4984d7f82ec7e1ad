"""A wrong factor: half, double, or multiplied by itself, as where a config is extended that was extended before."""

from collections.abc import Iterator
from dataclasses import replace

from longspan.audit.blackbox.hypothesis import Asked, Family, Hypothesis

WRONG = {"half": 0.5, "double": 2.0}


class Factor(Family):
    """The asked rotation with another factor."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield half the factor, the double, and its square."""
        if asked.scheme is None or asked.factor is None:
            return
        for name, times in {**WRONG, "square": asked.factor}.items():
            if (wrong := asked.factor * times) > 1:
                rotation = replace(asked.scheme.rotation, factor=wrong)
                yield Hypothesis(f"factor {wrong:g}, the {name} of what was asked", asked.rotating(rotation))
