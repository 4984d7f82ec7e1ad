"""Records on disk: one JSON line per measurement, written so that no kill at any moment loses or spoils another one.

A line is appended by one write and forced to disk before the next measurement starts. A kill in the middle of that
write leaves a torn last line, which is dropped when the file is opened again.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from longspan.errors import InputError


class Records:
    """The records of one folder, by key; held by one process at a time.

    Errors: InputError where another process writes here, or where the file holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise InputError(f"another run is writing to {path.parent}: wait for it, or give another --out") from None
        try:
            self.known = self._read()
        except InputError:
            self.close()
            raise

    def append(self, record: dict[str, Any]) -> None:
        """Keep a record, on disk before this returns."""
        line = json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
        os.write(self._file, line.encode())
        os.fsync(self._file)
        self.known[record["key"]] = record

    def close(self) -> None:
        """Let other processes in."""
        os.close(self._file)

    def __enter__(self) -> "Records":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _read(self) -> dict[str, dict[str, Any]]:
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            os.ftruncate(self._file, len(whole))
        known = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                record = json.loads(line)
                known[record["key"]] = record
            except (ValueError, KeyError, TypeError):
                raise InputError(
                    f"line {number} of {self.path} is no measurement: move the file away, or give another --out"
                ) from None
        return known


def write_atomically(path: Path, text: str) -> None:
    """The file holds either what it held or all of the text, at any moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
