"""The user's texts as documents of exactly so many tokens.

A document is the unit of every statistic. A file is one document, its first tokens; only where there are too few files
is a file cut into several disjoint parts; reports then say so, because parts of one file resemble each other.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longspan.errors import InputError
from longspan.memo import remember

MAX_TOKENS_PER_BYTE = 1
"""No tokenizer in use makes more tokens than there are bytes, so that shorter files need not be read."""


@dataclass(frozen=True)
class Document:
    """A part of a file, counted in tokens.

    Arguments:
        path: the file.
        start: the first token.
        length: tokens.
        digest: SHA-256 of the token ids.
    """

    path: str
    start: int
    length: int
    digest: str

    @property
    def name(self) -> str:
        """What reports call it."""
        part = f" [{self.start}:]" if self.start else ""
        return Path(self.path).name + part

    def tokens(self, tokenizer: Any) -> tuple[int, ...]:
        """Return its token ids.

        Errors: InputError where the file or the tokenizer is no longer what it was.
        """
        ids = tokenize(self.path, tokenizer)[self.start : self.start + self.length]
        if digest(ids) != self.digest:
            raise InputError(
                f"{self.path} does not give the tokens it gave before: file or tokenizer has changed; give a new --out"
            )
        return ids


@dataclass(frozen=True)
class Library:
    """The documents that a set of texts gives.

    Arguments:
        documents: of equal length, those from different files first.
        files: how many files they come from.
        dropped: files that give no document, and why.
    """

    documents: tuple[Document, ...]
    files: int
    dropped: tuple[str, ...]


def digest(ids: Sequence[int]) -> str:
    """Return the SHA-256 of token ids."""
    return hashlib.sha256(json.dumps(list(ids)).encode()).hexdigest()


def library(paths: Sequence[str | Path], tokenizer: Any, length: int, wanted: int) -> Library:
    """Return at least `wanted` documents of `length` tokens, or as many as the texts give.

    The order depends on the files' names only, and mixes folders; parts of one file are as far apart in it as possible.
    Folders are read no further than needed; every file that was named is read.

    Errors: InputError for a path that does not exist and for a file that is no text.
    """
    tokens: dict[str, tuple[int, ...]] = {}
    dropped = []
    for path, given, named in _files(paths):
        if len(tokens) >= wanted and not named:
            continue
        size = path.stat().st_size
        if size * MAX_TOKENS_PER_BYTE < length:
            dropped.append(f"{given}: {size} bytes, fewer than {length} tokens")
            continue
        try:
            ids = tokenize(str(path), tokenizer)
        except UnicodeDecodeError:
            if named:
                raise InputError(f"{given} is no UTF-8 text") from None
            dropped.append(f"{given}: no UTF-8 text")
            continue
        if len(ids) < length:
            dropped.append(f"{given}: {len(ids)} tokens, fewer than {length}")
        else:
            tokens[str(path)] = ids
    documents: list[Document] = []
    part = 0
    while len(documents) < wanted:
        found = [path for path in tokens if (part + 1) * length <= len(tokens[path])]
        for path in found:
            ids = tokens[path][part * length : (part + 1) * length]
            documents.append(Document(path, part * length, length, digest(ids)))
        if not found:
            break
        part += 1
    documents = documents if part <= 1 else documents[: max(wanted, len(tokens))]
    return Library(tuple(documents), len({document.path for document in documents}), tuple(sorted(dropped)))


def _files(paths: Sequence[str | Path]) -> list[tuple[Path, Path, bool]]:
    """Every file once, in an order that depends on names only: where it is, as the user sees it, whether by name."""
    found: dict[Path, tuple[Path, bool]] = {}
    for given in paths:
        path = Path(given)
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
                if file.is_file() and not hidden:
                    found.setdefault(file.resolve(), (file, False))
        elif path.is_file():
            found[path.resolve()] = (path, True)
        else:
            raise InputError(f"no file or folder {str(given)!r}: give --text paths that exist")
    files = [(path, *seen) for path, seen in found.items()]
    return sorted(files, key=lambda file: hashlib.sha256(os.fsencode(file[0].name)).digest())


@remember(64)
def tokenize(path: str, tokenizer: Any) -> tuple[int, ...]:
    """Return the token ids of a file, without special tokens.

    Errors: InputError where the file cannot be read; UnicodeDecodeError where it is no text.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    return tuple(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def opening(tokenizer: Any) -> tuple[int, ...]:
    """Return the special tokens that a tokenizer puts before every text, such as the BOS of Llama and Gemma."""
    with_special = tokenizer("a")["input_ids"]
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    for start in range(len(with_special) - len(plain) + 1):
        if list(with_special[start : start + len(plain)]) == list(plain):
            return tuple(with_special[:start])
    return ()
