"""Division: documents to search on, and documents of other files to judge on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longspan.errors import InputError
from longspan.measure.corpus.documents import Document, Library, library
from longspan.study.decision import FEWEST_DOCUMENTS

FEWEST_SEARCHED = 2
"""Documents that a search needs: the spread of a price cannot be seen on one."""


@dataclass(frozen=True)
class Division:
    """The documents of a search; no file has documents in both.

    Arguments:
        search: to search on.
        held_out: to judge on.
        dropped: files that give no document, and why.
    """

    search: tuple[Document, ...]
    held_out: tuple[Document, ...]
    dropped: tuple[str, ...]


def divide(paths: Sequence[Path], tokenizer: Any, length: int, wanted: tuple[int, int]) -> Division:
    """Divide texts into documents of `length` tokens to search on, and others to judge on.

    Arguments:
        wanted: how many of each.

    Errors: InputError where there are too few.
    """
    search, held_out = wanted
    found = library(paths, tokenizer, length, search + held_out)
    files = tuple(dict.fromkeys(document.path for document in found.documents))
    if len(files) < search + held_out:  # then parts of files are needed, more than a share of the files may give
        found = library(paths, tokenizer, length, (search + held_out) ** 2)
    return share(found, length, wanted)


def share(found: Library, length: int, wanted: tuple[int, int]) -> Division:
    """Give each file to the search or to the judge, about in the proportion of the documents that are wanted.

    Errors: InputError where there are too few documents or files.
    """
    search, held_out = wanted
    least = min(search, FEWEST_SEARCHED), min(held_out, FEWEST_DOCUMENTS)
    files = list(dict.fromkeys(document.path for document in found.documents))
    proportion = len(files) * search / (search + held_out)
    possible = [
        _split(found, set(files[:count]), wanted)
        for count in sorted(range(1, max(2, len(files))), key=lambda count: abs(count - proportion))
    ]
    for needed in (wanted, least):
        for split in possible:
            if all(len(part) >= fewest for part, fewest in zip(split, needed, strict=True)):
                return Division(*split, found.dropped)
    mine, others = map(len, possible[0])
    raise InputError(
        f"the texts give {mine} documents of {length} tokens to search on and {others} in other files to judge on; "
        f"{least[0]} and {least[1]} are needed ({len(found.dropped)} files dropped): give more --text, a smaller --to, "
        f"or, for no verdict, --docs below {FEWEST_DOCUMENTS}"
    )


def _split(
    found: Library, searched: set[str], wanted: tuple[int, int]
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """The documents of some files, and those of all others."""
    mine = [document for document in found.documents if document.path in searched]
    others = [document for document in found.documents if document.path not in searched]
    return tuple(mine[: wanted[0]]), tuple(others[: wanted[1]])
