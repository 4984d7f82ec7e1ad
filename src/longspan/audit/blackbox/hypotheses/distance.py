"""A method on relative distances (ReRoPE, Self-Extend …) with half or double its window, or without it."""

from collections.abc import Iterator
from dataclasses import fields, replace

from longspan.audit.blackbox.hypothesis import PLAIN, Asked, Family, Hypothesis

WRONG = {"half": 0.5, "double": 2.0}


class Distance(Family):
    """The asked distance with every size of it changed in turn."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield nothing where true distances were asked for."""
        scheme = asked.scheme
        if scheme is None or scheme.distance == PLAIN.distance:
            return
        yield Hypothesis(f"{scheme.distance.name} is ignored", replace(scheme, distance=PLAIN.distance))
        for field in fields(scheme.distance):
            size = getattr(scheme.distance, field.name)
            if not isinstance(size, int) or isinstance(size, bool):
                continue
            for name, times in WRONG.items():
                if (wrong := int(size * times)) >= 1:
                    distance = replace(scheme.distance, **{field.name: wrong})
                    said = f"{field.name} is {wrong}, {name} of what was asked"
                    yield Hypothesis(said, replace(scheme, distance=distance))
