"""Records on disk: one JSON line per measurement, written so that a kill at any moment loses or spoils no other one.

A line is written whole, or taken back, and forced to disk before the next measurement starts. A kill in the middle of
that leaves a torn last line, which is removed when the file is opened again. Older versions continued after a line that
a full disk had cut, so that the next record follows on the same line: reading separates the two.
"""

import fcntl
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from longspan.disk import write_all, writing
from longspan.errors import InputError

OPENING = b'{"key":'
"""How `append` begins a record. Nothing inside a record looks like it: no other field has this name, and texts escape
quotes."""


class Records:
    """The records of one folder; one process at a time holds them.

    `by_key` holds the whole records; `dropped` names what else the file contained.

    Errors: InputError where another process writes here, where the file holds something else, or where it cannot be
    written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped: list[str] = []
        with writing(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._lock()
            self.by_key = self._read()
        except BaseException:
            self.close()
            raise

    def append(self, record: dict[str, Any]) -> None:
        """Keep a record; it is on disk before this returns.

        Errors: InputError where it cannot be written; the file is then as it was.
        """
        line = (json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n").encode()
        with writing(self.path):
            end = os.fstat(self._file).st_size
            try:
                write_all(self._file, line)
                os.fsync(self._file)
            except BaseException as error:
                with suppress(OSError):
                    if isinstance(error, OSError) or os.fstat(self._file).st_size < end + len(line):
                        os.ftruncate(self._file, end)  # a whole line stays if Ctrl-C comes late
                raise
        self.by_key[record["key"]] = record

    def close(self) -> None:
        """Let other processes write here."""
        os.close(self._file)

    def __enter__(self) -> "Records":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _lock(self) -> None:
        with writing(self.path):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                folder = self.path.parent
                raise InputError(f"another run is writing to {folder}: wait for it, or give another --out") from None

    def _read(self) -> dict[str, dict[str, Any]]:
        text = self.path.read_bytes()
        *lines, torn = text.split(b"\n")
        records = [record for number, line in enumerate(lines, start=1) for record in self._found(number, line)]
        if torn:
            with writing(self.path):
                os.ftruncate(self._file, len(text) - len(torn))
            self.dropped.append(f"{len(torn)} bytes at the end of {self.path}: no whole record")
        return {record["key"]: record for record in records}

    def _found(self, number: int, line: bytes) -> list[dict[str, Any]]:
        """The records of a line: one, or the whole ones among several that an older version ran together."""
        if record := _record(line):
            return [record]
        pieces = [piece for piece in re.split(b"(?=%b)" % OPENING, line) if piece]
        torn = [piece for piece in pieces if not _record(piece)]
        if not pieces or not all(map(_torn, torn)):
            raise InputError(
                f"line {number} of {self.path} is no measurement: move the file away, or give another --out"
            )
        self.dropped += [f"{len(piece)} bytes of line {number} of {self.path}: no whole record" for piece in torn]
        return [record for piece in pieces if (record := _record(piece))]


def _record(text: bytes) -> dict[str, Any] | None:
    """The record in a text; None where the text is anything else."""
    try:
        record = json.loads(text)
        return record if isinstance(record["key"], str) else None
    except (ValueError, KeyError, TypeError):
        return None


def _torn(text: bytes) -> bool:
    """Whether a text begins as a record does and ends before it does."""
    try:
        json.JSONDecoder().raw_decode(text.decode())
    except ValueError:
        return text.startswith(b"{")
    return False
