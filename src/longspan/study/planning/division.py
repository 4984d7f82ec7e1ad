"""Division: which documents a study judges on, and which others it races on."""

from dataclasses import dataclass

from longspan.errors import InputError
from longspan.measure.documents import Document, Library
from longspan.study.decision import FEWEST_DOCUMENTS

RACE_DOCUMENTS = 3
"""How many documents a race is run on where there are enough."""


@dataclass(frozen=True)
class Division:
    """The documents of a study.

    Arguments:
        judge: to judge on.
        race: to race on; empty where no race is needed.
    """

    judge: tuple[Document, ...]
    race: tuple[Document, ...]


def wanted(docs: int, races: bool) -> int:
    """Return how many documents a study uses: `docs` to judge on, and those of a race."""
    return docs + (RACE_DOCUMENTS if races else 0)


def divide(found: Library, docs: int, length: int, races: bool) -> Division:
    """Divide documents of `length` tokens into `docs` to judge on and others for a race, if there is one.

    Errors: InputError where there are too few.
    """
    documents = found.documents
    least = min(docs, FEWEST_DOCUMENTS) + (1 if races else 0)
    if len(documents) < least:
        raise InputError(
            f"the texts give {len(documents)} documents of {length} tokens and {least} are needed "
            f"({len(found.dropped)} files dropped): give more --text, a smaller --to, or, for no verdict, "
            f"--docs below {FEWEST_DOCUMENTS}"
        )
    spare = min(RACE_DOCUMENTS, max(1, len(documents) - docs)) if races else 0
    judge = documents[: min(docs, len(documents) - spare)]
    return Division(judge, documents[len(judge) : len(judge) + spare])
