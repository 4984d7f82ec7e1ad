"""What `longspan extend` does, step by step; imports torch."""

import json
import shlex
import sys
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import torch

from longspan.cli.progress import show
from longspan.cli.terminal import answer, say
from longspan.errors import InputError
from longspan.geometry import Geometry
from longspan.measure.kinds import Reading, Truncation
from longspan.measure.loading import BUNDLED, bundled_documents, load_tokenizer, located
from longspan.measure.machine import hardware
from longspan.measure.measurement import Bench, bench, versions
from longspan.measure.memory import gigabytes, require_memory
from longspan.measure.source import DTYPES, check_length, check_tokenizer, choose_dtype, geometry_of
from longspan.pretrained.storing.save import load, overwrite
from longspan.report.page import page
from longspan.report.verdict import verdict
from longspan.study.budget import FINALISTS, Plan, plan
from longspan.study.candidates import candidates, filled
from longspan.study.decision import FEWEST_DOCUMENTS
from longspan.study.folder import Study, identity_of
from longspan.study.grid import Grid
from longspan.study.pace import Pace
from longspan.study.summary import race, summarize
from longspan.tasks.documents import Document, Library, library, tokenize

RACE_DOCUMENTS = 3
DROPPED_SHOWN = 10


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    model: str
    length: int
    methods: tuple[str, ...]
    texts: tuple[Path, ...]
    out: Path | None
    docs: int
    tolerance: float
    budget: float
    dtype: str
    trained_length: int | None

    def __post_init__(self) -> None:
        if self.length < 1:
            raise InputError(f"--to must be at least 1 token, got {self.length}")
        if self.docs < 1:
            raise InputError(f"--docs must be at least 1, got {self.docs}")
        if not 0 <= self.tolerance < inf:
            raise InputError(f"--tolerance must be at least 0 and finite, got {self.tolerance:g}")
        if not self.budget > 0:
            raise InputError(f"--budget must be above 0 minutes, got {self.budget:g}")
        if self.dtype not in ("auto", *DTYPES):
            raise InputError(f"--dtype must be auto, {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.trained_length is not None and self.trained_length < 8:
            raise InputError(f"--trained-length must be at least 8, got {self.trained_length}")
        if not self.texts and self.model != BUNDLED:
            raise InputError("give your documents: --text PATH, files or folders, each file longer than --to tokens")
        try:
            str(self.folder.resolve()).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"no model can be written to {self.folder}, whose name is not valid UTF-8: give another --out"
            ) from None
        for path in self.texts:
            if not path.exists():
                raise InputError(f"no file or folder {str(path)!r}: give --text paths that exist")

    @property
    def folder(self) -> Path:
        """Where results go."""
        return self.out or Path(f"longspan-{Path(self.model).stem}-{self.length}")

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where documents come from."""
        return self.texts or bundled_documents()


def run(request: Request, as_json: bool) -> None:
    """Do it all; raises LongspanError for what the user can mend."""
    try:
        summary = _study(request)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise InputError(_out_of_memory(request)) from error
    except RuntimeError as error:
        if "allocate memory" in str(error) or "out of memory" in str(error).lower():
            raise InputError(_out_of_memory(request)) from error
        raise
    except OSError as error:
        raise InputError(f"cannot read or write: {error}") from error
    if as_json:
        print(json.dumps(summary, indent=2, allow_nan=False))
    else:
        answer(verdict(summary))
        answer(f"\nreport: {request.folder.resolve() / 'report.html'}")
        if summary["model"]:
            answer(f"model:  {Path(summary['model']).resolve()}")


def _study(request: Request) -> dict[str, Any]:
    known = identity_of(request.folder)
    dtype = request.dtype if request.dtype != "auto" else (known or {}).get("dtype") or _chosen_dtype(request)
    loaded = bench(request.model, dtype)
    geometry = geometry_of(loaded.model, request.trained_length)
    check_length(request.length, geometry)
    memory = require_memory(loaded.model, request.length, geometry.trained_length)
    check_tokenizer(loaded)
    methods = _methods(request, geometry)
    for method in methods if request.methods else ():
        loaded.attach(method)  # a method that was asked for by name and cannot be had is an error now, not a row later
    races = len(methods) > FINALISTS
    wanted = request.docs + (RACE_DOCUMENTS if races else 0)
    texts = library(request.paths, loaded.tokenizer, request.length, wanted)
    judged, raced = _divided(request, texts, races)
    grid = Grid(request.model, dtype, loaded.fingerprint, geometry.trained_length, request.length)
    say(
        f"{request.model}: trained on {geometry.trained_length} tokens ({_origin(request, loaded)}), to read "
        f"{request.length}; {dtype}, about {gigabytes(memory)} beside the model; results in {request.folder}"
    )
    with Study(request.folder, grid) as study:
        for loss in study.records.dropped:
            say(f"dropped {loss}")
        pace = _pace(study, judged[0])
        planned = _affordable(request, grid, methods, raced, judged, pace)
        show(study, "race", planned.race_measurements(grid), pace)
        ranked = race(study, planned, request.tolerance)
        show(study, "judgement", planned.judge_measurements(grid, ranked.finalists), pace)
        setting = _setting(request, geometry, grid, texts)
        summary = summarize(study, planned, ranked, request.tolerance, setting)
        chosen = summary["winner"] or (_least_loss(summary) if request.methods else None)
        summary["model"] = str(_write_model(request, loaded, chosen)) if chosen else None
        study.write("summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
        study.write("report.html", page(summary))
    return summary


def _chosen_dtype(request: Request) -> str:
    """By trial, on the opening of the first document."""
    tokenizer = load_tokenizer(request.model)
    found = library(request.paths, tokenizer, 64, 1)
    if not found.documents:
        return "float32"
    return choose_dtype(request.model, tokenize(found.documents[0].path, tokenizer))


def _methods(request: Request, geometry: Geometry) -> tuple[str, ...]:
    """The schemes to try, every number written out."""
    if not request.methods:
        return candidates(geometry, request.length)
    return tuple(dict.fromkeys(filled(text, geometry, request.length) for text in request.methods))


def _divided(request: Request, texts: Library, races: bool) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """Documents to judge on, and others to race on."""
    for reason in texts.dropped[:DROPPED_SHOWN]:
        say(f"dropped {reason}")
    if len(texts.dropped) > DROPPED_SHOWN:
        say(f"dropped {len(texts.dropped) - DROPPED_SHOWN} more; summary.json names them all")
    documents = texts.documents
    least = min(request.docs, FEWEST_DOCUMENTS) + (1 if races else 0)
    if len(documents) < least:
        raise InputError(
            f"the texts give {len(documents)} documents of {request.length} tokens and {least} are needed "
            f"({len(texts.dropped)} files dropped): give more --text, a smaller --to, or, for no verdict, "
            f"--docs below {FEWEST_DOCUMENTS}"
        )
    if len(documents) > texts.files:
        say(f"{len(documents)} documents are parts of {texts.files} files: intervals may be too narrow")
    spare = min(RACE_DOCUMENTS, max(1, len(documents) - request.docs)) if races else 0
    judged = documents[: min(request.docs, len(documents) - spare)]
    return judged, documents[len(judged) : len(judged) + spare]


def _pace(study: Study, document: Document) -> Pace:
    """From two measurements that every plan has: truncation, and the plain model on all of a document.

    Errors: InputError where the plain model fails.
    """
    grid, timed = study.grid, []
    both = grid.ask(Truncation, document), grid.ask(Reading, document)
    show(study, "speed", both)
    for asked in both:
        record = study.record(asked)
        assert record is not None
        if failed := record.get("failed"):
            raise InputError(f"plain, the model without any method, failed: {failed}; nothing can be compared with it")
        timed.append((asked.readings(), record["seconds"]))
    (short, brief), ((length,), long) = timed
    return Pace.of((short[0], brief / len(short)), (length, long))


def _affordable(
    request: Request,
    grid: Grid,
    methods: tuple[str, ...],
    raced: tuple[Document, ...],
    judged: tuple[Document, ...],
    pace: Pace,
) -> Plan:
    """What the budget allows."""
    found = plan(grid, methods, raced, judged, pace, 60 * request.budget)
    minutes = found.seconds(grid, pace) / 60
    if found.left_out:
        say(f"left out, to keep to --budget {request.budget:g}: {'; '.join(found.left_out)}")
    if minutes > request.budget:
        say(f"the least that {request.docs} documents allow takes about {minutes:.0f} minutes, more than --budget")
    return found


def _origin(request: Request, loaded: Bench) -> str:
    return "as told" if request.trained_length else "max_position_embeddings of its config"


def _setting(request: Request, geometry: Geometry, grid: Grid, texts: Library) -> dict[str, Any]:
    return {
        "model": request.model,
        "trained_length": geometry.trained_length,
        "length": request.length,
        "dtype": grid.dtype,
        "fingerprint": grid.fingerprint,
        "tail": grid.tail,
        "contexts": grid.contexts(),
        "dropped": list(texts.dropped),
        "files": texts.files,
        "seed": grid.seed,
        "hardware": hardware(),
        "versions": versions(),
        "command": shlex.join(["longspan", *sys.argv[1:]]),
    }


def _least_loss(summary: dict[str, Any]) -> str | None:
    """Of methods that were asked for by name, the one to write where none is worth using."""
    judged = [row for row in summary["methods"] if "gain" in row]
    return min(judged, key=lambda row: row["gain"]["value"])["method"] if judged else None


def _write_model(request: Request, loaded: Bench, method: str) -> Path:
    """The extended model, in the dtype it came in; one that stands there with the same extension is left alone."""
    folder = request.folder / "model"
    if _extension(folder) == [method, request.length]:
        return folder
    model = load(located(request.model), method, length=request.length)
    return overwrite(model, folder, tokenizer=loaded.tokenizer)


def _extension(folder: Path) -> list[Any] | None:
    """The extension of the model that is there; None where there is none, or no weights."""
    try:
        found = json.loads((folder / "config.json").read_text())["context_extension"]
        extension = [found["scheme"], found["length"]]
    except (OSError, ValueError, LookupError, TypeError):  # not what `save` writes
        return None
    return extension if any(folder.glob("*.safetensors")) else None


def _out_of_memory(request: Request) -> str:
    return (
        f"out of memory while reading {request.length} tokens; what was measured is kept in {request.folder}: "
        "give a smaller --to, or --dtype bfloat16"
    )
