"""Kinds of mistakes that servers make, one in each file; `listed` walks the folder."""

from typing import Any

from longspan.audit.blackbox.hypothesis import Asked, Family, Hypothesis, distinct
from longspan.registry import registered


def listed(asked: Asked) -> tuple[Hypothesis, ...]:
    """Return what was asked, first, and every mistake that makes sense for it."""
    found = [asked.hypothesis]
    families: dict[str, type[Any]] = registered(__name__, Family)
    for family in families.values():
        found += family().members(asked)
    return distinct(found, asked)
