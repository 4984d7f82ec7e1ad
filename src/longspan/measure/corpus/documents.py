"""The user's texts as documents of exactly so many tokens.

A document is the unit of every statistic. A text is one document, its first tokens; only where there are too few texts
is a text cut into several disjoint parts; reports then say so, because parts of one text resemble each other. A file is
one text, and each line of a JSONL file is one.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longspan.errors import InputError
from longspan.measure.corpus.texts import NoTextError, Text, files_in, texts_in
from longspan.memo import remember_file


@dataclass(frozen=True)
class Document:
    """A part of a file, counted in tokens.

    Arguments:
        path: the file; with the line behind it where the text is a line of a JSONL file.
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
        dropped: files and parts of files that give no document, and why.
    """

    documents: tuple[Document, ...]
    files: int
    dropped: tuple[str, ...]


def digest(ids: Sequence[int]) -> str:
    """Return the SHA-256 of token ids."""
    return hashlib.sha256(json.dumps(list(ids)).encode()).hexdigest()


def library(paths: Sequence[str | Path], tokenizer: Any, length: int, wanted: int) -> Library:
    """Return at least `wanted` documents of `length` tokens, or as many as the texts give, no two of equal tokens.

    The order depends on the files' names only, and mixes folders; parts of one file are as far apart in it as possible.
    Folders are read no further than needed; every file that was named is read.

    Errors: InputError for a path that does not exist, for a file that was named and is no text, and for a PDF or a web
    page without the packages that read them.
    """
    tokens: dict[str, tuple[int, ...]] = {}
    first: dict[str, str] = {}
    dropped: list[str] = []
    lines: Counter[str] = Counter()
    copies: Counter[str] = Counter()
    for text, given, named in _texts(paths, dropped):
        if len(tokens) >= wanted and (text.line is not None or not named):
            continue
        try:
            ids = _long_enough(text, tokenizer, length)
        except _TooShortError as error:
            if named and error.unreadable and text.line is None:
                raise InputError(f"{given} {error}") from None
            if text.line is None:
                dropped.append(f"{given}: {error}")
            else:
                lines[str(given)] += 1
        else:
            same = first.setdefault(digest(ids[:length]), text.key)
            if same == text.key:
                tokens[text.key] = ids
            elif text.line is None:
                dropped.append(f"{given}: its first {length} tokens are those of {same}")
            else:
                copies[str(given)] += 1
    dropped += [f"{given}: {count} lines have fewer than {length} tokens, or no text" for given, count in lines.items()]
    dropped += [f"{given}: {count} lines begin with the {length} tokens of others" for given, count in copies.items()]
    documents: list[Document] = []
    repeated: Counter[str] = Counter()
    part = 0
    while len(documents) < wanted:
        found = [path for path in tokens if (part + 1) * length <= len(tokens[path])]
        for path in found:
            document = Document(path, part * length, length, digest(tokens[path][part * length : (part + 1) * length]))
            if part and document.digest in first:
                repeated[path] += 1
            else:
                first[document.digest] = document.name
                documents.append(document)
        if not found:
            break
        part += 1
    dropped += [f"{path}: {count} parts of {length} tokens are equal to others" for path, count in repeated.items()]
    documents = documents if part <= 1 else documents[: max(wanted, len(tokens))]
    return Library(tuple(documents), len({document.path for document in documents}), tuple(sorted(dropped)))


def with_tokens(paths: Sequence[str | Path], tokenizer: Any) -> tuple[str, ...]:
    """Return the keys of all texts that have a token, in the order of `library`; what holds no text is left out.

    Errors: InputError as in `library`.
    """
    found = []
    for text, _, _ in _texts(paths, []):
        with suppress(_TooShortError):
            _long_enough(text, tokenizer, 1)
            found.append(text.key)
    return tuple(found)


class _TooShortError(ValueError):
    """A text that gives no document; the message is the end of a sentence."""

    def __init__(self, reason: str, unreadable: bool = False) -> None:
        super().__init__(reason)
        self.unreadable = unreadable


def _long_enough(text: Text, tokenizer: Any, length: int) -> tuple[int, ...]:
    """Return the tokens of a text, which are not even counted where there are too few bytes."""
    try:
        most = text.most_tokens()
        if most is not None and most < length:
            raise _TooShortError(f"{most} bytes, fewer than {length} tokens")
        ids = tokenize(text.key, tokenizer)
    except NoTextError as error:
        raise _TooShortError(str(error), unreadable=True) from None
    if len(ids) < length:
        raise _TooShortError(f"{len(ids)} tokens, fewer than {length}")
    return ids


def _texts(paths: Sequence[str | Path], dropped: list[str]) -> Iterator[tuple[Text, Path, bool]]:
    """Every text once: what it is, as the user sees it, and whether its file was named; `dropped` takes the others."""
    for path, given, named in _files(paths):
        try:
            for text in texts_in(path):
                yield text, given, named
        except NoTextError as error:
            if named:
                raise InputError(f"{given} {error}") from None
            dropped.append(f"{given}: {error}")


def _files(paths: Sequence[str | Path]) -> list[tuple[Path, Path, bool]]:
    """Every file once, in an order that depends on names only: where it is, as the user sees it, whether by name."""
    found: dict[Path, tuple[Path, bool]] = {}
    for given in paths:
        path = Path(given)
        if path.is_dir():
            for file in files_in(path):
                found.setdefault(file.resolve(), (file, False))
        elif path.is_file():
            found[path.resolve()] = (path, True)
        else:
            raise InputError(f"no file or folder {str(given)!r}: give --text paths that exist")
    files = [(path, *seen) for path, seen in found.items()]
    return sorted(files, key=lambda file: hashlib.sha256(os.fsencode(file[0].name)).digest())


@remember_file(64, lambda key: Text.of(key).path)
def tokenize(key: str, tokenizer: Any) -> tuple[int, ...]:
    """Return the token ids of a text, without special tokens.

    Arguments:
        key: of the text: its path, with the line behind it where it is a line of a JSONL file.

    Errors: InputError where the file cannot be read; NoTextError where it holds no text.
    """
    return tuple(tokenizer(Text.of(key).read(), add_special_tokens=False, verbose=False)["input_ids"])


def opening(tokenizer: Any) -> tuple[int, ...]:
    """Return the special tokens that a tokenizer puts before every text, such as the BOS of Llama and Gemma."""
    with_special = tokenizer("a")["input_ids"]
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    for start in range(len(with_special) - len(plain) + 1):
        if list(with_special[start : start + len(plain)]) == list(plain):
            return tuple(with_special[:start])
    return ()
