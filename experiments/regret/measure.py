"""Measure every candidate on every document, the table that `replay.py` asks "what would a shorter study have chosen?".

    python measure.py --model bundled --to 4096 --documents 22 --text FOLDER --out results/bundled-4096.jsonl

One line per cell, appended and forced to disk as soon as it is measured; the same command continues where it was
interrupted. Cells come document by document, so that a file that is not finished still holds whole documents. The first
line says what was measured, and another model, length or version of the candidates is refused. Methods are measured by
the library's own readings, through the same function as in `longspan extend`.

A cell's `seconds` are processor seconds, which other work on the machine hardly changes; run with OMP_NUM_THREADS=1.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from longspan import bundled
from longspan.measure.corpus.documents import Document, library
from longspan.measure.hardware.machine import versions
from longspan.measure.kinds.reading import Reading
from longspan.measure.kinds.truncation import Truncation
from longspan.measure.measurement import Measurement
from longspan.measure.models.model import PLAIN, LoadedModel
from longspan.measure.models.source import geometry_of
from longspan.measure.record import record_of
from longspan.study.candidates import candidates
from longspan.study.planning.cells import TRUNCATION
from longspan.study.planning.subject import Subject


def cell(asked: Measurement, model: LoadedModel) -> dict[str, Any]:
    """Measure one cell and keep what a verdict is made from."""
    began = time.process_time()
    record = record_of(asked, model)
    seconds = round(time.process_time() - began, 3)
    named = {"method": TRUNCATION if isinstance(asked, Truncation) else asked.method}
    named |= {"document": asked.document.name, "digest": asked.document.digest[:16]}
    if record["result"] is None:
        return {**named, "failed": record["failed"], "seconds": seconds}
    result = record["result"]
    far = [question["right"] for question in result["questions"] if question["distance"] > asked.trained_length]
    numbers = {name: round(result[name], 6) for name in ("loss", "second_half", "short") if name in result}
    return {**named, **numbers, "right": sum(far), "asked": len(far), "seconds": seconds}


def planned(subject: Subject, methods: tuple[str, ...], documents: tuple[Document, ...]) -> Iterator[Measurement]:
    """Every cell, document by document: truncation, plain, and all candidates."""
    for document in documents:
        yield subject.ask(Truncation, document)
        for method in (PLAIN, *methods):
            yield subject.ask(Reading, document, method)


def named(asked: Measurement) -> tuple[str, str]:
    """What a cell is found by in the file."""
    return (TRUNCATION if isinstance(asked, Truncation) else asked.method), asked.document.digest[:16]


def known(path: Path, header: dict[str, Any]) -> set[tuple[str, str]]:
    """Read the cells that a file holds; write the header into a new one, and take a torn last line away."""
    if not path.exists() or not path.read_bytes():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(header) + "\n")
    *lines, torn = path.read_bytes().split(b"\n")
    if torn:
        os.truncate(path, path.stat().st_size - len(torn))
    first, *cells = map(json.loads, lines)
    for name in ("model", "fingerprint", "dtype", "trained_length", "length", "seed", "methods"):
        if first[name] != header[name]:
            raise SystemExit(
                f"{path} was measured with {name} {first[name]!r}, not {header[name]!r}: give another --out"
            )
    return {(record["method"], record["digest"]) for record in cells}


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=bundled.NAME, help="bundled, a folder or a .gguf file")
    parser.add_argument("--to", type=int, required=True, help="tokens of each document")
    parser.add_argument("--read", type=int, help="tokens read of them, if not all: what a shorter race would see")
    parser.add_argument("--documents", type=int, default=16)
    parser.add_argument("--text", type=Path, action="append", default=[], help="files or folders of texts")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    model = LoadedModel.load(arguments.model, arguments.dtype)
    geometry = geometry_of(model.model)
    methods = candidates(geometry, arguments.to)
    texts = library(arguments.text or bundled.documents(), model.tokenizer, arguments.to, arguments.documents)
    name, length = Path(arguments.model).stem, arguments.read or arguments.to
    subject = Subject(name, arguments.dtype, model.fingerprint, geometry.trained_length, length)
    header = {
        "model": subject.model, "fingerprint": subject.fingerprint, "dtype": subject.dtype,
        "trained_length": subject.trained_length, "length": subject.length, "seed": subject.seed, "methods": methods,
        "threads": torch.get_num_threads(), "versions": versions(),
    }  # fmt: skip
    header = json.loads(json.dumps(header))
    done = known(arguments.out, header)
    cells = list(planned(subject, methods, texts.documents))
    missing = [asked for asked in cells if named(asked) not in done]
    print(f"{len(texts.documents)} documents of {texts.files} files, {len(missing)} of {len(cells)} cells to measure")
    began = time.monotonic()
    with arguments.out.open("a", encoding="utf-8") as file:
        for count, asked in enumerate(missing, start=1):
            file.write(json.dumps(cell(asked, model)) + "\n")
            file.flush()
            os.fsync(file.fileno())
            left = (time.monotonic() - began) / count * (len(missing) - count) / 60
            print(f"{count}/{len(missing)} {asked.document.name} · {named(asked)[0]} · {left:.0f} min left", flush=True)


if __name__ == "__main__":
    main()
