"""Run the table: each model type in a process of its own, its row written to build/conformance/ when it is done.

A run that was stopped goes on where it stood; rows of other code or another transformers are done again.
With `--wrong-frame` rotary modules are given false positions, and every cell that is not refused must turn red.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from inspect import getsource
from pathlib import Path
from queue import Empty
from typing import Any

import torch
import transformers

import longspan
from conformance import family, laws
from conformance.family import Row, row
from conformance.page import page
from conformance.reviewed import METHODS, REASONS, UNBUILT
from conformance.wrong_frame import tell_false_positions
from longspan.pretrained import attach
from pretrained.families import matter, model_types, small_config, small_model

ROOT = Path(__file__).parents[2]
FOUND = ROOT / "build" / "conformance"
SECONDS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*", help="model types; all of them where none is named")
    parser.add_argument("--wrong-frame", action="store_true", help="tell false positions: everything must fail")
    given = parser.parse_args()
    folder = FOUND.with_name("conformance-wrong-frame") if given.wrong_frame else FOUND
    rows = dict(_rows(given.types or sorted(set(model_types()) - set(UNBUILT)), folder, given.wrong_frame))
    if given.wrong_frame:
        green = [f"{name}: {method}" for name, found in rows.items() for method in found.takes]
        print(f"{sum(len(found.red) for found in rows.values())} cells are red, {len(green)} are not", *green, sep="\n")
        sys.exit(bool(green))
    if not given.types:
        (ROOT / "docs" / "conformance.md").write_text(page(rows), encoding="utf-8")
    red = sum(len(found.red) for found in rows.values())
    print(f"{red} red cells")
    sys.exit(bool(red))


def _rows(types: Iterable[str], folder: Path, wrong_frame: bool) -> Iterable[tuple[str, Row]]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in types:
        code = _code(name)
        written = folder / f"{name}.json"
        known = json.loads(written.read_text()) if written.exists() else {}
        if known.get("code") != code:
            start = time.monotonic()
            known = {"code": code, **_measured(name, wrong_frame)}
            _write(written, known)
            print(f"{name} {time.monotonic() - start:.0f} s", flush=True)
        found = Row(**{key: value for key, value in known.items() if key != "code"})
        if not wrong_frame:
            for method in found.red:
                print(f"  {name}, {method}: {(found.cells | found.laws)[method]}", flush=True)
        yield name, found


def _code(model_type: str) -> str:
    """Of all that a row depends on, its model included."""
    library = sorted(Path(longspan.__file__).parent.rglob("*.py"))
    known = [
        *(file.read_text(encoding="utf-8") for file in [*library, Path(family.__file__), Path(laws.__file__)]),
        getsource(matter),
        small_config(model_type).to_json_string(use_diff=False),
        f"{METHODS} {REASONS} {transformers.__version__} {torch.__version__}",
    ]
    return sha256("".join(known).encode()).hexdigest()[:16]


def _measured(model_type: str, wrong_frame: bool) -> dict[str, Any]:
    """One row, by a process that is stopped when it takes too long."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=_work, args=(model_type, wrong_frame, results))
    process.start()
    try:
        return results.get(timeout=SECONDS)
    except Empty:
        return Row(cells={"all": f"FAIL: took longer than {SECONDS} s"}).as_json()
    finally:
        process.kill()
        process.join()


def _work(model_type: str, wrong_frame: bool, results: "multiprocessing.Queue[dict[str, Any]]") -> None:
    attach.probe = cache(attach.probe)  # the same model for every cell
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    try:
        model = small_model(model_type, torch.float64)
        if (
            family.rotates(model_type, model) and family.left_padded(model).isnan().any()
        ):  # rows without any key, which only float32 kernels survive
            model = small_model(model_type)
        if wrong_frame:
            tell_false_positions()
        results.put(row(model_type, model).as_json())
    except Exception as error:
        results.put(Row(cells={"all": f"FAIL: not built: {type(error).__name__}: {str(error)[:200]}"}).as_json())


def _write(path: Path, found: dict[str, Any]) -> None:
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(found, indent=1), encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    main()
