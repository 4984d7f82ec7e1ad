"""Candidates: the methods worth trying on a model, with parameters by each method's own rule.

With L the trained and N the wanted length: ReRoPE's window between L/4 and L/2; Leaky ReRoPE and Self-Extend keep all
distances within L/2. What rescales frequencies counts from the length L before any rescaling that the model came with:
NTK is given twice the factor N/L, because untrained it reads to about half; YaRN's fast pairs are those that rotate at
least 32 times within L, or a quarter of what the fastest pair rotates where L is small (at L = 128 no pair rotates 32
times and YaRN would slow all of them). The method itself fills in what is left open here.

Within the trained length nothing has to be extended, but far distances may be trained less well than near ones: methods
that overwrite them with nearer ones, STRING and its like, are tried there with windows and offsets by N.
"""

import re
from collections.abc import Sequence
from math import pi

from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.measure.models.method import filled
from longspan.notation import parts


def candidates(geometry: Geometry, length: int) -> tuple[str, ...]:
    """Return schemes as text, the most promising first, because a short budget cuts the end."""
    return tuple(named(_texts(geometry, length), geometry, length))


def recipes(geometry: Geometry, length: int) -> dict[str, str]:
    """Return the candidates whose name their parts do not show, such as streaming_llm, with that name."""
    found = named(_texts(geometry, length), geometry, length)
    return {text: given for text, given in found.items() if re.split(r"\W", given)[0] not in text}


def named(texts: Sequence[str], geometry: Geometry, length: int) -> dict[str, str]:
    """Return the same schemes with every number written out, each with the text that was given for it.

    Errors: NotationError or SchemeError for a text that is not a scheme.
    """
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(filled(text, geometry, length), text)
    return found


def _texts(geometry: Geometry, length: int) -> tuple[str, ...]:
    return _within(geometry, length) if length <= geometry.trained_length else _beyond(geometry, length)


def _within(geometry: Geometry, length: int) -> tuple[str, ...]:
    """What may read N tokens better than the plain model, which was trained on as many; not what changes nothing."""
    third = max(1, length // 3)
    texts = (
        f"string(offset={third}, local={min(128, third // 2)})",
        f"rerope(window={max(1, length // 2)})",
        f"dpe(window={max(1, min(1024, length // 4))})",
        f"rerope(window={max(1, length // 4)})",
    )
    return tuple(text for text in texts if _changes_something(text, geometry, length))


def _changes_something(text: str, geometry: Geometry, length: int) -> bool:
    try:
        return not all(part.fill(geometry, length).changes_nothing(length) for part in parts(text, geometry))
    except SchemeError:  # no group size fits
        return False


def _beyond(geometry: Geometry, length: int) -> tuple[str, ...]:
    trained, original = geometry.trained_length, geometry.without_rescaling().trained_length
    quarter, half = max(1, trained // 4), max(1, trained // 2)
    fast = max(2.0, round(original / (2 * pi) / 4))
    return (
        f"rerope(window={half}) + log_length",
        f"leaky_rerope(window={quarter}) + log_length",
        f"self_extend(window={quarter}) + log_length",
        "yarn" if fast >= 32 else f"yarn(fast={fast:g})",
        f"rerope(window={quarter}) + log_length",
        "ntk_mixed + log_length",
        "dynamic_ntk + log_length",
        "dual_chunk",
        f"rerope(window={half})",
        f"ntk(factor={2 * length / original:g})",
        f"self_extend(window={quarter})",
        f"lm_infinite(window={half})",
        "streaming_llm",
    )
