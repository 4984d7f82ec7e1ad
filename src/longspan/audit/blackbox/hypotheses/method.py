"""Another method: linear in place of YaRN, dynamic in place of static, or an extension that nobody asked for."""

from collections.abc import Iterator

from longspan.audit.blackbox.hypothesis import Asked, ByRequest, Family, Hypothesis
from longspan.rotation.dynamic_ntk import DynamicNTK
from longspan.rotation.linear import Linear
from longspan.rotation.ntk import NTK
from longspan.rotation.yarn import YaRN

USUAL = (2.0, 4.0, 8.0)
"""Factors that are tried where none was asked for."""


class Method(Family):
    """The rescalings that servers have, with the asked factor."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield each method with each factor."""
        if asked.theta is None:
            return
        length, theta = asked.trained_length, asked.theta
        present = asked.scheme.rotation if asked.scheme else None
        for factor in (asked.factor,) if asked.factor else USUAL:
            for rotation in (
                YaRN(factor, length, theta=theta),
                Linear(factor, theta=theta),
                NTK(factor, theta=theta),
            ):
                name = f"{rotation.name}(factor={factor:g})"
                if type(rotation) is type(present):
                    continue  # the other families vary what was asked
                yield Hypothesis(f"{name} instead of {asked.text}", asked.rotating(rotation))
            dynamic = DynamicNTK(length, factor=factor, theta=theta)
            name = f"dynamic NTK(factor={factor:g}) instead of {asked.text}"
            if not isinstance(present, DynamicNTK):
                yield Hypothesis(f"{name}, by each row's length", asked.rotating(dynamic))
            yield ByRequest(f"{name}, by the request's length", asked.rotating(dynamic))
