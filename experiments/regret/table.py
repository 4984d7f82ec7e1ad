"""The records of `measure.py` as arrays: every candidate on every document."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

PLAIN, TRUNCATION = "plain", "truncation"


@dataclass(frozen=True)
class Table:
    """What a model did, document by document.

    Arguments:
        name: of the file.
        trained_length, length: tokens.
        methods: truncation, plain, and the candidates, the most promising first.
        documents: those that every method has read.
        loss: of the last tokens, nats, shape (methods, documents); NaN where a method failed.
        half: loss of the second half of the text; truncation has none.
        facts: share of the facts beyond the trained length that were found.
        price: loss within the trained length, minus the plain model's; 0 for truncation.
        seconds: processor seconds of a reading, the median over documents, shape (methods).
    """

    name: str
    trained_length: int
    length: int
    methods: tuple[str, ...]
    documents: tuple[str, ...]
    loss: np.ndarray
    half: np.ndarray
    facts: np.ndarray
    price: np.ndarray
    seconds: np.ndarray

    @property
    def candidates(self) -> tuple[str, ...]:
        """What is to be chosen from."""
        return self.methods[2:]

    @property
    def failed(self) -> tuple[str, ...]:
        """Candidates that could not be had on this model."""
        return tuple(name for name in self.candidates if np.isnan(self.loss[self.row(name)]).any())

    def row(self, method: str) -> int:
        """Where a method is in the arrays."""
        return self.methods.index(method)

    def only(self, documents: Collection[str]) -> "Table":
        """The same table with some of its documents, in its order."""
        kept = [i for i, name in enumerate(self.documents) if name in documents]
        arrays = {name: getattr(self, name)[:, kept] for name in ("loss", "half", "facts", "price")}
        return replace(self, documents=tuple(self.documents[i] for i in kept), **arrays)


def read(path: Path) -> Table:
    """The table of one file; a document that not every method has read yet is left out."""
    header, *cells = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    methods = (TRUNCATION, PLAIN, *header["methods"])
    found = {(cell["method"], cell["digest"]): cell for cell in cells}
    names = {cell["digest"]: cell["document"] for cell in cells}
    whole = [digest for digest in names if all((method, digest) in found for method in methods)]

    def numbers(key: str, missing: float = np.nan) -> np.ndarray:
        return np.array([[found[m, d].get(key, missing) for d in whole] for m in methods], dtype=float)

    short = numbers("short")
    price = short - short[1]
    price[0] = 0.0
    return Table(
        path.stem, header["trained_length"], header["length"], methods, tuple(names[digest] for digest in whole),
        numbers("loss"), numbers("second_half"), numbers("right") / numbers("asked"), price,
        np.median(numbers("seconds"), axis=1),
    )  # fmt: skip


def tables(folder: Path) -> Iterable[Table]:
    """Those of a folder."""
    for path in sorted(folder.glob("*.jsonl")):
        yield read(path)


def means(table: Table, best: str) -> list[dict[str, Any]]:
    """Every method over all documents, and how its difference to the best one varies from document to document."""
    j = table.row(best)

    def spread(array: np.ndarray, i: int) -> float | None:
        found = float((array[i] - array[j]).std(ddof=1))
        return None if np.isnan(found) else found

    return [
        {
            "method": name,
            "loss": float(table.loss[i].mean()),
            "loss_spread": spread(table.loss, i),
            "half_spread": spread(table.half, i),
            "facts": float(table.facts[i].mean()),
            "facts_spread": spread(table.facts, i),
            "price": float(table.price[i].mean()),
            "seconds": float(table.seconds[i]),
        }
        for i, name in enumerate(table.methods)
    ]
