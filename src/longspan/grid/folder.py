"""ResultsFolder: measurements on disk; the same command resumes what was interrupted.

run.json          what is measured; a folder that says something else is left alone
results.jsonl     one record per measurement

A study and a survey add files of their own.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar, runtime_checkable

from longspan.disk import recover_folder, remove, write_atomically, writing
from longspan.errors import InputError
from longspan.grid.records import Records

RESULTS = "results.jsonl"
BEGUN = re.compile(r"\.run\.json\.\d+")


@runtime_checkable
class Keyed(Protocol):
    """Whatever has a record of its own."""

    @property
    def key(self) -> str:
        """The name of its record."""
        ...


_Asked = TypeVar("_Asked", bound=Keyed)


class ResultsFolder:
    """A folder of measurements, held by one process.

    The folder is locked before anything is written into it, so that a second run leaves no trace.

    Arguments:
        folder: where it is.
        identity: what run.json says.

    Errors: InputError where the folder holds other results, or anything else, where another run holds it, or where it
    cannot be written.
    """

    left: ClassVar[re.Pattern[str]]
    """What a killed run leaves."""

    folders: ClassVar[tuple[str, ...]] = ()
    """Folders in it that are replaced as a whole."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder, self.identity = folder, dict(identity)
        self._refuse_others()
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.records = Records(folder / RESULTS)
        try:
            self._refuse_others()  # another run may have come and gone before the lock was taken
            self._tidy()
            if identity_of(folder) is None:
                self.write("run.json", json.dumps(self.identity, indent=2) + "\n")
        except BaseException:
            self.records.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.records.close()

    def record(self, asked: Keyed) -> dict[str, Any] | None:
        """Return the record of a measurement; None where it was not made."""
        return self.records.by_key.get(asked.key)

    def missing(self, planned: Iterable[_Asked]) -> list[_Asked]:
        """Return those of the planned measurements that were not made."""
        return [asked for asked in planned if self.record(asked) is None]

    def write(self, name: str, text: str) -> Path:
        """Replace a file of the folder as a whole, and return its path."""
        write_atomically(self.folder / name, text)
        return self.folder / name

    def _refuse_others(self) -> None:
        may_begin = _may_begin(self.folder)  # asked first: another run may write its run.json meanwhile
        present = identity_of(self.folder)
        if present is None and not may_begin:
            raise InputError(f"{self.folder} exists and holds no results of this command: give another --out")
        if present is not None and present != self.identity:
            names = sorted({*present, *self.identity})
            pairs = [(name, present.get(name), self.identity.get(name)) for name in names]
            differ = ", ".join(f"{name} {found!r}, not {wanted!r}" for name, found, wanted in pairs if found != wanted)
            raise InputError(f"{self.folder} holds other results ({differ}): give another --out")

    def _tidy(self) -> None:
        """Remove what a killed run left; no other run works here while this one holds the folder."""
        with writing(self.folder):
            for name in self.folders:
                recover_folder(self.folder / name)
            for path in self.folder.iterdir():
                if self.left.fullmatch(path.name):
                    remove(path)


def _may_begin(folder: Path) -> bool:
    """Whether a folder without run.json is new, or a run was killed before it could write that file."""
    try:
        left = [path for path in folder.iterdir() if not BEGUN.fullmatch(path.name)]
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return not folder.exists()  # a file may be in the place of a folder above it
    return not left or (left == [folder / RESULTS] and left[0].stat().st_size == 0)


def identity_of(folder: Path) -> dict[str, Any] | None:
    """Return what a folder's run.json says; None where there is no such file."""
    try:
        found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{folder / 'run.json'} is not readable: give another --out")
    return found
