"""What the models of a grid cost: `costs.py GRID.toml OUT`, as JSON, for docs/generate.py.

`kept` are the bytes of a model's cache after a text of the trained length and after one of the longest length, keys and
values or states, at 32 bits. `reading` and `next` are processor seconds per token of one thread: of a text of the
longest length, and of one more token after it; the median of interleaved rounds. Weights are random: none of this
depends on what a model has learned.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import process_time

import torch

from longspan.disk import write_atomically
from longspan.measure.hardware.machine import hardware
from longspan.measure.reading.kept import kept
from longspan.measure.reading.reader import Reader
from longspan.train.data.choosing import tokenizer_of
from longspan.train.grid import Cell, read_grid
from longspan.train.model import untrained

ROUNDS, STEPS = 5, 32


def readers(cells: tuple[Cell, ...]) -> Iterator[tuple[str, Reader]]:
    """Yield each design with its model, without the seeds."""
    tokenizer = tokenizer_of(cells[0].settings)
    for cell in {cell.name: cell for cell in cells}.values():
        yield cell.name, Reader(untrained(cell.settings, tokenizer))


def bytes_kept(reader: Reader, tokens: int) -> int:
    """Bytes of the cache after so many tokens."""
    return kept(reader.read(text(tokens), 1)[1])["cache_bytes"]


def timed(reader: Reader, tokens: int) -> tuple[float, float]:
    """Seconds per token of reading, and of one more."""
    began = process_time()
    cache = reader.read(text(tokens), 1)[1]
    reading = (process_time() - began) / tokens
    began = process_time()
    for _ in range(STEPS):
        reader.model(input_ids=text(1), past_key_values=cache, use_cache=True)
    return reading, (process_time() - began) / STEPS


def text(tokens: int) -> torch.Tensor:
    """Random tokens."""
    return torch.randint(3, 2000, (1, tokens), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def main(grid: Path, out: Path) -> None:
    """Measure every design of the grid."""
    cells = read_grid(grid)
    short, long = cells[0].settings.training.length, cells[0].settings.lengths[-1]
    made = dict(readers(cells))
    times = [{name: timed(reader, long) for name, reader in made.items()} for _ in range(ROUNDS)]
    rows = {
        name: {
            "kept": {str(tokens): bytes_kept(reader, tokens) for tokens in (short, long)},
            "reading": median(each[name][0] for each in times),
            "next": median(each[name][1] for each in times),
        }
        for name, reader in made.items()
    }
    command = f"python costs.py {grid} {out}"
    found = {"command": command, "hardware": hardware(), "torch": torch.__version__, "rounds": ROUNDS, "rows": rows}
    write_atomically(out, json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
