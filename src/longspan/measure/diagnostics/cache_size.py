"""Cache size: what the cache of a model holds after it has read a text.

    Σ bytes of keys and values, of latents, of states, and of near keys and codes, over all layers

Room that is reserved for later tokens is not counted. With `memory_distortion` it
says what a memory saves and what it costs.
"""

from dataclasses import dataclass
from typing import Any

from longspan.errors import RefusalError
from longspan.measure.diagnostic import Diagnostic, Subject
from longspan.measure.reading.kept import kept
from longspan.pretrained.attach import attached


@dataclass(frozen=True)
class CacheSize(Diagnostic):
    """Bytes of the cache of one text."""

    unit = "MiB"

    def look(self, subject: Subject) -> dict[str, Any]:
        """Return what `kept` says of the cache after the text.

        Errors: RefusalError for a model whose cache has no layers.
        """
        reader = subject.reader
        with attached(reader.model, subject.method):
            _, cache = reader.read(reader.ids(subject.ids), 1)
        found = kept(cache)
        if not found:
            raise RefusalError(f"{type(cache).__name__} has no layers: what it holds cannot be counted")
        return {"value": found["cache_bytes"] / 2**20, **found}
