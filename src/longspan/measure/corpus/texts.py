"""Files as texts: plain text in UTF-8 or UTF-16, the records of a JSONL file, PDF and HTML.

Every text counts as one document. A JSONL file holds one text per line, in its `text` field.
"""

import codecs
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from longspan.errors import InputError
from longspan.memo import remember_file

JSONL = (".jsonl", ".ndjson")
HTML = (".html", ".htm")
PDF = (".pdf",)
RECORD = re.compile(r"(.+\.(?:jsonl|ndjson)):([0-9]+)", re.IGNORECASE | re.DOTALL)
"""How a line of a JSONL file is named: texts.jsonl:12."""
MAX_TOKENS_PER_BYTE = 1
"""No tokenizer in use makes more tokens than there are bytes of UTF-8, so that shorter files need not be read."""
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""The byte order marks with which files begin, and how to decode what follows."""


class NoTextError(ValueError):
    """A file that holds no text; the message is the end of a sentence."""


@dataclass(frozen=True)
class Text:
    """One text of one file.

    Arguments:
        path: the file.
        line: of a JSONL file, counted from 1; None for a whole file.
    """

    path: Path
    line: int | None = None

    @property
    def key(self) -> str:
        """Its name with its path."""
        return f"{self.path}:{self.line}" if self.line else str(self.path)

    @classmethod
    def of(cls, key: str) -> "Text":
        """Return the text of a key; a file of that very name comes first."""
        found = RECORD.fullmatch(key)
        return cls(Path(found[1]), int(found[2])) if found and not Path(key).exists() else cls(Path(key))

    def most_tokens(self) -> int | None:
        """Return how many tokens it has at most; None where only reading shows it."""
        if self.line is not None:
            return len(_lines(str(self.path))[self.line - 1].encode()) * MAX_TOKENS_PER_BYTE
        if self.path.suffix.lower() in (*PDF, *HTML):
            return None
        with self.path.open("rb") as file:
            plain = not file.read(2).startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return self.path.stat().st_size * MAX_TOKENS_PER_BYTE if plain else None

    def read(self) -> str:
        """Return it.

        Errors: NoTextError where the file holds no text; InputError where it cannot be read, or a package is missing.
        """
        try:
            if self.path.suffix.lower() in PDF:
                return _pdf(self.path)
            if self.line is not None:
                return _field(_lines(str(self.path))[self.line - 1])
            content = _decoded(self.path.read_bytes())
        except IndexError:
            raise InputError(f"{self.path} has no line {self.line} any more: give a new --out") from None
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror}") from None
        return _html(content) if self.path.suffix.lower() in HTML else content


def files_in(path: Path) -> list[Path]:
    """Return a file itself, or all files of a folder in the order of their names; hidden ones are left out."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file())
    return [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]


def contents(path: Path) -> Iterator[str]:
    """Yield what `Text.read` gives for each of a file's texts, in order; a JSONL file is read line by line.

    Errors: NoTextError where the file, or a line of it, holds no text; InputError where it cannot be read, or a package
    is missing.
    """
    if path.suffix.lower() not in JSONL:
        yield Text(path).read()
        return
    try:
        with path.open("rb") as file:
            encoding = _encoding(file.read(4))
        with path.open(encoding=encoding) as file:
            for line in file:
                if "\0" in line:
                    raise _NullError
                if line.strip():
                    yield _field(line)
    except (UnicodeDecodeError, _NullError):
        _decoded(path.read_bytes())  # says what it may be instead
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


class _NullError(Exception):
    """A line holds a character that no text has."""


def texts_in(path: Path) -> Iterator[Text]:
    """Yield the texts of a file.

    Errors: NoTextError for a JSONL file that is no text; InputError where it cannot be read.
    """
    if path.suffix.lower() not in JSONL:
        yield Text(path)
        return
    try:
        lines = _lines(str(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    yield from (Text(path, number) for number, line in enumerate(lines, start=1) if line.strip())


@remember_file(4)
def _lines(path: str) -> tuple[str, ...]:
    """The lines of a JSONL file, which is read once for all of them."""
    return tuple(_decoded(Path(path).read_bytes()).split("\n"))


def _encoding(start: bytes) -> str:
    return next((name for mark, name in MARKS.items() if start.startswith(mark)), "utf-8")


def _decoded(content: bytes) -> str:
    try:
        text = content.decode(_encoding(content))
    except UnicodeDecodeError:
        text = "\0"
    if "\0" not in text:
        return text.replace("\r\n", "\n").replace("\r", "\n")
    if content.count(b"\0") > len(content) // 4:
        raise NoTextError("is no UTF-8 text; if it is UTF-16, convert it: iconv -f UTF-16LE -t UTF-8 FILE > NEW")
    raise NoTextError("is no UTF-8 text; if it is text, convert it, as in: iconv -f LATIN1 -t UTF-8 FILE > NEW")


def _field(line: str) -> str:
    try:
        text = json.loads(line)["text"]
    except (ValueError, LookupError, TypeError, RecursionError):
        text = None
    if not isinstance(text, str):
        raise NoTextError('is no JSON object with a field "text" that holds a text')
    return _whole(text)


def _whole(text: str) -> str:
    """The text with a question mark for each half of a surrogate pair, which is no character and has no UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _html(content: str) -> str:
    """The visible text of a page."""
    _require("bs4", "HTML")
    from bs4 import BeautifulSoup

    page = BeautifulSoup(content, "html.parser")
    for hidden in page(["script", "style", "template", "noscript", "head"]):
        hidden.decompose()
    return re.sub(r"\n\s*\n+", "\n\n", page.get_text("\n")).strip()


def _pdf(path: Path) -> str:
    """The text of every page."""
    _require("pypdf", "PDF")
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        text = _whole("\n\n".join(page.extract_text() for page in PdfReader(path).pages))
    except PyPdfError as error:
        raise NoTextError(f"is no PDF that can be read ({error})") from None
    if not text.strip():
        raise NoTextError("is a PDF without text: run it through OCR first")
    return text


def _require(package: str, kind: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise InputError(f"reading {kind} needs the package {package}: pip install 'longspan[documents]'")
