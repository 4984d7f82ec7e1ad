"""Division: which documents a study judges on, and which others it races on."""

from dataclasses import dataclass

from longspan.errors import InputError
from longspan.measure.corpus.documents import Document, Library
from longspan.study.decision import FEWEST_DOCUMENTS

RACE_DOCUMENTS = 8
"""How many documents a race may be run on where there are enough."""

FEW = 3
"""How many of them may be parts of files that are judged on too, where there are too few files."""


@dataclass(frozen=True)
class Division:
    """The documents of a study.

    Arguments:
        judge: to judge on.
        race: to race on; empty where no race is needed.
    """

    judge: tuple[Document, ...]
    race: tuple[Document, ...]

    @property
    def files(self) -> int:
        """How many files the documents come from."""
        return len({document.path for document in (*self.judge, *self.race)})

    @property
    def judged_files(self) -> int:
        """How many files the judged documents come from."""
        return len({document.path for document in self.judge})


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
    spare = max(1, len(documents) - docs) if races else 0
    judge = documents[: min(docs, len(documents) - spare)]
    others = documents[len(judge) : len(judge) + spare]
    known = {document.path for document in judge}
    fresh = tuple({document.path: document for document in reversed(others) if document.path not in known}.values())
    return Division(judge, fresh[::-1][:RACE_DOCUMENTS] if len(fresh) >= FEW else others[:FEW])
