"""Study: a folder with the measurements of one model at one wanted length, begun, interrupted and resumed at will.

run.json          what is measured: a folder that says something else is not touched
results.jsonl     one record per measurement
summary.json      what they say
report.html       the same to look at
model/            the extended model
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from longspan.disk import recover_folder, remove, writing
from longspan.errors import InputError
from longspan.measure.kinds import Measurement
from longspan.measure.measurement import bench
from longspan.study.grid import Grid
from longspan.study.records import Records, write_atomically

FORMAT = 2
RESULTS = "results.jsonl"
BEGUN = re.compile(r"\.run\.json\.\d+")
LEFT = re.compile(r"\.(run\.json|summary\.json|report\.html)\.\d+|\.model|\.\.model\..+")
"""What a killed run leaves behind; the last two names are those of older versions."""


class Study:
    """A folder of measurements, held by one process.

    The folder is locked before anything is written into it, so that a run that comes second leaves no trace.

    Errors: InputError where the folder holds other results, or anything else, where another run holds it, or where it
    cannot be written.
    """

    def __init__(self, folder: Path, grid: Grid) -> None:
        self.folder, self.grid = folder, grid
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

    @property
    def identity(self) -> dict[str, Any]:
        """What the folder's run.json says."""
        return {"format": FORMAT, **asdict(self.grid)}

    def __enter__(self) -> "Study":
        return self

    def __exit__(self, *_: Any) -> None:
        self.records.close()

    def record(self, asked: Measurement) -> dict[str, Any] | None:
        """Of a measurement that was made."""
        return self.records.known.get(asked.key)

    def missing(self, planned: Iterable[Measurement]) -> list[Measurement]:
        """Those of the planned measurements that were not made."""
        return [asked for asked in planned if self.record(asked) is None]

    def run(self, planned: Iterable[Measurement]) -> Iterator[dict[str, Any]]:
        """Make what is missing, one by one; each record is on disk before it is handed out."""
        for asked in self.missing(planned):
            made = bench(self.grid.model, self.grid.dtype, self.grid.fingerprint).measure(asked)
            self.records.append(made)
            yield made

    def tokens_per_second(self, measured: Iterable[Measurement]) -> float | None:
        """How fast these were read; None where none was made."""
        records = [(asked, self.record(asked)) for asked in measured]
        made = [(sum(asked.readings()), record["seconds"]) for asked, record in records if record is not None]
        seconds = sum(seconds for _, seconds in made)
        return sum(count for count, _ in made) / seconds if seconds else None

    def write(self, name: str, text: str) -> Path:
        """A file of the folder, replaced as a whole."""
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
            told = ", ".join(f"{name} {found!r}, not {wanted!r}" for name, found, wanted in pairs if found != wanted)
            raise InputError(f"{self.folder} holds other results ({told}): give another --out")

    def _tidy(self) -> None:
        """Clear away what a killed run has left; no other run can be at work while this one holds the folder."""
        with writing(self.folder):
            recover_folder(self.folder / "model")
            for path in self.folder.iterdir():
                if LEFT.fullmatch(path.name):
                    remove(path)


def _may_begin(folder: Path) -> bool:
    """Whether a folder without run.json is new, or was left so by a run that was killed before it had written that."""
    try:
        left = [path for path in folder.iterdir() if not BEGUN.fullmatch(path.name)]
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return not folder.exists()  # what is no folder may lie above it
    return not left or (left == [folder / RESULTS] and left[0].stat().st_size == 0)


def identity_of(folder: Path) -> dict[str, Any] | None:
    """What a folder's run.json says; None where there is none."""
    try:
        found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{folder / 'run.json'} is not readable: give another --out")
    return found
