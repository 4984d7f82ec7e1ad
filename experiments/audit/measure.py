"""Break real servers on purpose and audit them: one record per setting, in results/servers.jsonl; resumes.

The audits are those of the command `longspan audit MODEL --server URL --expect SCHEME --length … --json`, run in this
process, so that the model is loaded once and what it predicts for a text is computed once for all servers.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from filelock import FileLock
from serving import prepare, started
from settings import BROKEN, CORRECT, LLAMA_CPP, WRITING, Setting
from typer.testing import CliRunner

from longspan.audit.blackbox import predict
from longspan.audit.blackbox.answer import Answer
from longspan.audit.blackbox.hypothesis import ByRequest, Hypothesis
from longspan.cli.main import app
from longspan.measure.hardware.machine import hardware
from longspan.measure.models.model import LoadedModel
from longspan.measure.reading.reader import Reader

KINDS = {"llama.cpp": sorted((*BROKEN, *CORRECT), key=lambda setting: setting.expect), "writing": WRITING}
"""Settings with the same scheme in mind come together: what the local model predicts for them is computed once."""
RESULTS = Path(__file__).parent / "results" / "servers.jsonl"


class Known:
    """One model, loaded once; every text that it reads under a hypothesis is read once for all servers."""

    def __init__(self, model: str) -> None:
        self.loaded = LoadedModel.load(model, "float32", "cpu")
        self.passes: dict[str, list[Pass]] = {}

    def load(self, name: str, dtype: str, device: str) -> LoadedModel:
        """In the place of `LoadedModel.load`."""
        return self.loaded

    def predicted(
        self, reader: Reader, hypothesis: Hypothesis, requests: Sequence[predict.Request], answers: Sequence[Answer]
    ) -> np.ndarray:
        """In the place of `predicted`: what was read before is not read again.

        Where each written token has a rotation of its own, a text belongs to one server.
        """
        if isinstance(hypothesis, ByRequest) and any(answer.continuation for answer in answers):
            return predict.predicted(reader, hypothesis, requests, answers)
        does = repr((type(hypothesis), hypothesis.scheme, hypothesis.feeding, hypothesis.own_window))
        passes = self.passes.setdefault(does, [])
        fed = [
            predict._fed(hypothesis, request, answer.continuation)
            for request, answer in zip(requests, answers, strict=True)
        ]
        found = [self._known(passes, read, hypothesis) for read, _ in fed]
        if None in found:
            passes += _passes(reader, hypothesis, requests, answers)
            found = [self._known(passes, read, hypothesis) for read, _ in fed]
        return np.concatenate(
            [
                predict._of_one(reader, known.hidden, source, len(request.ids), answer)
                for known, (_, source), request, answer in zip(found, fed, requests, answers, strict=True)
                if known is not None
            ]
        )

    def _known(self, passes: "Sequence[Pass]", read: Sequence[int], hypothesis: Hypothesis) -> "Pass | None":
        """A pass whose rows are those of a request: a longer text with the same scheme has them too."""
        scheme = hypothesis.scheme_of(len(read))
        return next((each for each in passes if each.scheme == scheme and each.read[: len(read)] == tuple(read)), None)


@dataclass(frozen=True, eq=False)
class Pass:
    """Hidden states of a text under a scheme, shape (tokens, width)."""

    read: tuple[int, ...]
    scheme: Any
    hidden: torch.Tensor


def _passes(
    reader: Reader, hypothesis: Hypothesis, requests: Sequence[predict.Request], answers: Sequence[Answer]
) -> list[Pass]:
    """What `predicted` lets the model read."""
    found: list[Pass] = []
    whole = reader.hidden

    def hidden(ids: torch.Tensor, *given: Any, **more: Any) -> torch.Tensor:
        states = whole(ids, *given, **more)
        read = tuple(ids[0].tolist())
        found.append(Pass(read, hypothesis.scheme_of(len(read)), states[0].clone()))
        return states

    with patch.object(reader, "hidden", hidden):
        predict.predicted(reader, hypothesis, requests, answers)
    return found


def audited(known: Known, model: Path, server: Sequence[str], setting: Setting) -> dict[str, Any]:
    """Return the JSON of an audit and its exit code.

    Arguments:
        server: the options that say what is audited.
    """
    asked = ["--expect", setting.expect, "--length", str(setting.length)]
    command = ["audit", str(model), *server, *asked, "--json"]
    with (
        patch("longspan.audit.blackbox.audit.LoadedModel.load", known.load),
        patch("longspan.audit.blackbox.compare.predicted", known.predicted),
    ):
        result = CliRunner().invoke(app, command)
    if not result.stdout.startswith("{"):
        raise RuntimeError(f"{result.output} {result.exception!r}")
    return {**json.loads(result.stdout), "exit_code": result.exit_code}


@contextmanager
def over_http(setting: Setting, given: argparse.Namespace) -> Iterator[list[str]]:
    """Start the server of a setting."""
    log = given.work / f"{given.kind}.log"
    with started(setting, given.work, given.serving, log) as url:
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
    for setting in KINDS[given.kind]:
        key = setting.key
        if key in present or given.expect not in ("", setting.expect) or given.only not in key:
            continue
        with over_http(setting, given) as server:
            found = audited(known, model, server, setting)
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
            "versions": {**versions, **({"xllamacpp": version("xllamacpp")} if setting.server == LLAMA_CPP else {})},
        }
        with RESULTS.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print("right" if record["right"] else "WRONG", key, "->", found["verdict"][0], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
