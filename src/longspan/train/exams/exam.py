"""An exam: questions of several lengths, asked of a trained model under each method, one record per question.

results.jsonl      one line per question, written when it is answered; a second call goes on
summary.json       written when all are
"""

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional

from longspan.disk import write_atomically
from longspan.errors import LongspanError
from longspan.measure.hardware.device import device_named
from longspan.measure.models.model import PLAIN
from longspan.pretrained.attach import attached
from longspan.pretrained.storing.save import load
from longspan.train.data.batch import Batch, moved
from longspan.train.forward import hidden_states
from longspan.train.head import Head, head_of
from longspan.train.samplers import sampler_of
from longspan.train.settings import Settings

ALL = "all"
"""The name of everything that a question asks."""
RESULTS, SUMMARY = "results.jsonl", "summary.json"


@dataclass(frozen=True, eq=False)
class Question:
    """One row and what is counted of it.

    Arguments:
        batch: of one row.
        counted: by name, places among those that are asked.
    """

    batch: Batch
    counted: Mapping[str, Bool[Tensor, "1 tokens"]]


class Exam(ABC):
    """Questions of several lengths.

    Arguments:
        settings: of the run; lengths, methods and how many questions of each length.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def question(self, length: int, index: int) -> Question:
        """Return a question; equal arguments give equal questions.

        Errors: InputError where there is none of this length.
        """

    def indices(self, length: int) -> Sequence[int]:
        """Return the questions of a length that differ from each other, by index; a question counts once."""
        return range(self.settings.test.docs)

    @property
    def setting(self) -> dict[str, Any]:
        """What decides a question beside method, length and index: answers under another setting are asked again."""
        return {"positions": self.settings.test.positions}

    def take(self, trained: Path, out: Path) -> Iterator[tuple[int, int]]:
        """Ask what is missing, and yield how many questions are answered, and of how many.

        Arguments:
            trained: the folder of the model.
            out: the folder of the answers.
        """
        out.mkdir(exist_ok=True)
        indices = {length: self.indices(length) for length in self.settings.lengths}
        asked = [
            {"method": method, "length": length, "index": index}
            for method in (PLAIN, *self.settings.test.methods)
            for length, own in indices.items()
            for index in own
        ]
        records = [
            record
            for record in read_records(out / RESULTS)
            if record.get("setting") == self.setting and not self._repeats(record["arguments"], indices)
        ]
        write_atomically(out / RESULTS, "".join(json.dumps(record) + "\n" for record in records))
        known = {json.dumps(record["arguments"]) for record in records}
        missing = [each for each in asked if json.dumps(each) not in known]
        device = device_named(self.settings.training.device, "training.device")
        model: Any = load(trained).eval() if missing else None
        head = Head(()) if model is None else head_of(model.to(device))
        with (out / RESULTS).open("a", encoding="utf-8") as file:
            for done, (each, answer) in enumerate(self._answered(model, head, missing), start=1):
                file.write(json.dumps({"arguments": each, "setting": self.setting, **answer}) + "\n")
                file.flush()
                yield len(asked) - len(missing) + done, len(asked)
        write_atomically(out / SUMMARY, json.dumps({"questions": len(asked)}) + "\n")

    def _repeats(self, asked: Mapping[str, Any], indices: Mapping[int, Sequence[int]]) -> bool:
        """Whether a question is one of those that are left out, because another one is the same."""
        length, index = asked["length"], asked["index"]
        return length in indices and index < self.settings.test.docs and index not in indices[length]

    def _answered(self, model: Any, head: Head, missing: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict]]:
        """Yield what came of each question, or why nothing did; a method is put on once for rows of one length."""
        asked = ((each, self.question(each["length"], each["index"])) for each in missing)
        for (method, tokens), group in groupby(asked, key=lambda one: (one[0]["method"], one[1].batch.inputs.shape[1])):
            left = deque(group)
            try:
                with self._under(model, method, tokens):
                    while left:
                        each, question = left[0]
                        yield each, {"result": self._result(model, head, question), "failed": None}
                        left.popleft()
            except LongspanError as error:
                yield from ((each, {"result": None, "failed": str(error)}) for each, _ in left)

    def _under(self, model: Any, method: str, tokens: int) -> AbstractContextManager[Any]:
        if method == PLAIN:
            return nullcontext()
        return attached(model, method, length=max(tokens, self.settings.training.length))

    @torch.no_grad()
    def _result(self, model: Any, head: Head, question: Question) -> dict[str, Any]:
        device, batch = model.device, question.batch
        sampler = sampler_of(self.settings.test.positions, batch.inputs.shape[1], "test.positions")
        positions = None
        if sampler is not None:
            positions = sampler(batch.inputs.shape[1], torch.Generator().manual_seed(0))
        which = moved(batch.asked.flatten().nonzero()[:, 0], device)
        there, given = batch.to(device), None if positions is None else moved(positions, device)
        hidden = hidden_states(model, there, given).flatten(0, 1)[which]
        logits, targets = head(hidden).float(), there.targets.flatten()[which]
        losses = functional.cross_entropy(logits, targets, reduction="none").cpu()
        right = (logits.argmax(-1) == targets).cpu()
        return {name: _counted(losses, right, where[batch.asked]) for name, where in question.counted.items()}


def _counted(losses: Tensor, right: Tensor, where: Tensor) -> dict[str, Any]:
    count = int(where.sum())
    loss = float(losses[where].mean()) if count else None
    return {"loss": loss, "right": int(right[where].sum()), "asked": count, "exact": bool(right[where].all())}


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file; a last line that a kill left unfinished is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]
