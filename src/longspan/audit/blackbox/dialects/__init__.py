"""Ways in which servers give log-probabilities, one in each file; `dialects` walks the folder."""

from typing import Any

from longspan.audit.blackbox.dialect import Dialect
from longspan.audit.blackbox.http import Connection
from longspan.audit.blackbox.vocabulary import Vocabulary
from longspan.registry import registered


def dialects(connection: Connection, vocabulary: Vocabulary, model: str | None) -> list[Dialect]:
    """Return all dialects for one server, in the order in which they are tried."""
    found: dict[str, type[Any]] = registered(__name__, Dialect)
    kinds = sorted(found.values(), key=lambda kind: kind.rank)
    return [kind(connection, vocabulary, model) for kind in kinds]
