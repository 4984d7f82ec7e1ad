"""Break real servers on purpose and audit them: one record per setting, in results/servers.jsonl; resumes.

The audits are those of the command `longspan audit MODEL --server URL --expect SCHEME --length … --json`, run in this
process, so that the model is loaded once and what it predicts for a text is computed once for all servers.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

from filelock import FileLock
from serving import prepare, started
from settings import BROKEN, CORRECT, ENGINE, TRAINED, TRANSFORMERS, WRITING, Setting
from typer.testing import CliRunner

from longspan.audit.blackbox import predict
from longspan.audit.blackbox.answer import Answer
from longspan.audit.blackbox.hypothesis import Hypothesis
from longspan.cli.main import app
from longspan.measure.machine import hardware
from longspan.measure.model import LoadedModel
from longspan.measure.reader import Reader

KINDS = {"engine": (*BROKEN, *CORRECT), "broken": BROKEN, "correct": CORRECT, "writing": WRITING}
LENGTHS = (160,)
"""Tokens of the text: 64 within the promised length, 96 beyond."""
RESULTS = Path(__file__).parent / "results" / "servers.jsonl"


class Known:
    """One model, loaded once, and what it predicts, computed once."""

    def __init__(self, model: str) -> None:
        self.loaded = LoadedModel.load(model, "float32", "cpu")
        self.rows: dict[Any, Any] = {}

    def load(self, name: str, dtype: str, device: str) -> LoadedModel:
        """In the place of `LoadedModel.load`."""
        return self.loaded

    def predicted(
        self, reader: Reader, hypothesis: Hypothesis, requests: Sequence[predict.Request], answers: Sequence[Answer]
    ) -> Any:
        """In the place of `predicted`: values of the answers are not read, so that they are no part of the key."""
        asked = tuple((answer.positions, answer.tokens, answer.continuation, answer.chosen) for answer in answers)
        scheme = repr((type(hypothesis), hypothesis.scheme, hypothesis.feeding, hypothesis.own_window))
        key = (scheme, tuple(requests), asked)
        if key not in self.rows:
            self.rows[key] = predict.predicted(reader, hypothesis, requests, answers)
        return self.rows[key]


def audited(known: Known, model: Path, server: Sequence[str], expect: str) -> dict[str, Any]:
    """Return the JSON of an audit and its exit code.

    Arguments:
        server: the options that say what is audited.
    """
    lengths = [part for length in LENGTHS for part in ("--length", str(length))]
    command = ["audit", str(model), *server, "--expect", expect, *lengths, "--json"]
    with (
        patch("longspan.audit.blackbox.audit.LoadedModel.load", known.load),
        patch("longspan.audit.blackbox.compare.predicted", known.predicted),
    ):
        result = CliRunner().invoke(app, command)
    if not result.stdout.startswith("{"):
        raise RuntimeError(f"{result.output} {result.exception!r}")
    return {**json.loads(result.stdout), "exit_code": result.exit_code}


@contextmanager
def in_process(setting: Setting, folder: Path) -> Iterator[list[str]]:
    """Let `running` load what a setting says."""
    flags = dict(setting.flags)
    if written := flags.pop("kv_overrides", None):
        key, _, value = str(written).partition("=float:")
        flags["kv_overrides"] = {key: float(value)}
    asked = {
        "model": str(folder / f"smollm2{setting.model}.gguf"),
        "flags": flags,
        "kept": setting.kept,
        "length": TRAINED,
    }
    os.environ["LLAMA_CPP_SETTING"] = json.dumps(asked)
    yield ["--runs-as", "running:log_probabilities"]


@contextmanager
def over_http(setting: Setting, given: argparse.Namespace) -> Iterator[list[str]]:
    """Start the server of a setting."""
    log = given.work / f"{given.kind}.log"
    with started(setting, given.work, given.llama_cpp, given.serving, log) as url:
        yield ["--server", url]


def right(setting: Setting, found: dict[str, Any]) -> bool:
    """Whether a mistake was named, or a correct setting was not accused."""
    if not setting.truth:
        return bool(found["as_asked"]) and found["exit_code"] == 0
    return found["named"] is not None and setting.truth in f"{found['named']} " and found["exit_code"] == 1


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--llama-cpp", required=True, help="a Python with llama-cpp-python[server]")
    parser.add_argument("--serving", required=True, help="the program transformers")
    parser.add_argument("--work", type=Path, required=True, help="a folder for models and logs")
    parser.add_argument("--kind", choices=KINDS, required=True, help="several kinds may run at the same time")
    parser.add_argument("--expect", default="", help="settings that were meant to do this; all where left out")
    parser.add_argument("--only", default="", help="a part of the name of a setting")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    with FileLock(given.work / "prepare.lock"):
        prepare(given.model, given.work)
    RESULTS.parent.mkdir(exist_ok=True)
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    present = {json.loads(line)["key"] for line in lines}
    model = given.work / "smollm2.gguf"
    known = Known(str(model))
    versions = {name: version(name) for name in ("torch", "transformers")}
    here = given.kind == "engine"
    for setting in KINDS[given.kind]:
        key = f"{ENGINE}: {setting.key.partition(': ')[2]}" if here else setting.key
        if key in present or given.expect not in ("", setting.expect) or given.only not in key:
            continue
        with in_process(setting, given.work) if here else over_http(setting, given) as server:
            found = audited(known, model, server, setting.expect)
        shown = (
            "named",
            "alike",
            "as_asked",
            "fits",
            "ahead",
            "noise",
            "unexplained",
            "resembling",
            "tokens",
            "chosen",
        )
        record = {
            "key": key,
            "right": right(setting, found),
            "truth": setting.truth,
            "expect": setting.expect,
            **{name: found[name] for name in (*shown, "exit_code", "lengths", "verdict")},
            "nearest": [[each["name"], each["behind"], each["ruled_out"]] for each in found["considered"][:5]],
            "hypotheses": len(found["considered"]),
            "hardware": hardware(),
            "versions": {**versions, **({"llama-cpp-python": "0.3.36"} if setting.server != TRANSFORMERS else {})},
        }
        with RESULTS.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print("right" if record["right"] else "WRONG", key, "->", found["verdict"][0], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
