"""Study: a folder with the measurements of one model at one wanted length, begun, interrupted and resumed at will.

run.json          what is measured: a folder that says something else is not touched
results.jsonl     one record per measurement
summary.json      what they say
report.html       the same to look at
model/            the extended model
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from longspan.errors import InputError
from longspan.measure.grid import Grid
from longspan.measure.kinds import Measurement
from longspan.measure.measurement import bench
from longspan.report.record import Records, write_atomically

FORMAT = 2


class Study:
    """A folder of measurements, held by one process.

    Errors: InputError where the folder holds other results, or anything else.
    """

    def __init__(self, folder: Path, grid: Grid) -> None:
        self.folder, self.grid = folder, grid
        identity = {"format": FORMAT, **asdict(grid)}
        present = identity_of(folder)
        if present is None:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise InputError(f"{folder} exists and holds no results of this command: give another --out")
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "run.json", json.dumps(identity, indent=2) + "\n")
        elif present != identity:
            differ = sorted(name for name in {*present, *identity} if present.get(name) != identity.get(name))
            told = ", ".join(f"{name} {present.get(name)!r}, not {identity.get(name)!r}" for name in differ)
            raise InputError(f"{folder} holds other results ({told}): give another --out")
        self.records = Records(folder / "results.jsonl")

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


def identity_of(folder: Path) -> dict[str, Any] | None:
    """What a folder's run.json says; None where there is none."""
    try:
        return json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        raise InputError(f"{folder / 'run.json'} is not readable: give another --out") from None
