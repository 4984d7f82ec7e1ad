"""A window on all layers: one that nobody asked for, or the asked one at another width, without sinks, or missing."""

from collections.abc import Iterator
from dataclasses import replace

from longspan.audit.blackbox.hypothesis import Asked, Family, Hypothesis
from longspan.mask.all import All
from longspan.mask.window import Window as Masked

SINKS = 4


class Window(Family):
    """The asked scheme under another mask."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield masks that lose what is far away; for an asked window also the others of its kind."""
        scheme = asked.scheme
        if scheme is None:
            return
        if isinstance(scheme.mask, Masked) and scheme.mask.size is not None:
            size, sinks = scheme.mask.size, scheme.mask.sinks
            yield Hypothesis("the window is missing", replace(scheme, mask=All()))
            for name, width in {"half": size // 2, "double": 2 * size}.items():
                mask = replace(scheme.mask, size=max(1, width))
                yield Hypothesis(f"a window of {width}, the {name} of what was asked", replace(scheme, mask=mask))
            if sinks:
                yield Hypothesis("the window has no sinks", replace(scheme, mask=Masked(size)))
        elif isinstance(scheme.mask, All):
            for size in (asked.trained_length, asked.trained_length // 2):
                for sinks in (0, SINKS):
                    mask = Masked(size, sinks=sinks) if sinks else Masked(size)
                    yield Hypothesis(f"{_said(mask)} on all layers", replace(scheme, mask=mask))


def _said(mask: Masked) -> str:
    return f"a window of {mask.size} tokens" + (f" and {mask.sinks} sinks" if mask.sinks else "")
