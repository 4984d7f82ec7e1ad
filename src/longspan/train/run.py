"""A training run from settings to a trained model; killed at any moment, the same command goes on to the bit.

    run.json        the settings, every default written out
    texts/          token ids of the training texts; texts-test/ of the others
    log.jsonl       one line per step
    state/          what the run goes on from
    model/          the trained model, as `longspan.load` reads it

What a step does depends on the settings, the step and the state alone: so do rows, positions and dropout.
"""

import json
import math
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from longspan.disk import write_atomically
from longspan.errors import InputError
from longspan.measure.hardware.machine import hardware, versions
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.storing.save import overwrite
from longspan.train.data.batch import Batch
from longspan.train.data.choosing import reading_of, tokenizer_of
from longspan.train.exams.choosing import exam_of
from longspan.train.exams.exam import Exam
from longspan.train.forward import hidden_states
from longspan.train.loss import Loss, loss_of, summed_loss
from longspan.train.model import untrained
from longspan.train.optimizers import optimizers_of, rate_at
from longspan.train.samplers import Sampler, check_reach, sampler_of
from longspan.train.settings import DataTable, Settings
from longspan.train.state import load_state, save_state

LOG = "log.jsonl"


@dataclass(frozen=True)
class Step:
    """What came of one step.

    Arguments:
        step: counted from 1.
        loss: mean over the step's tokens, nats.
        norm: of the gradient before clipping.
        rate: the learning rate.
        seconds: that it took.
    """

    step: int
    loss: float
    norm: float
    rate: float
    seconds: float


class Run:
    """A run in its folder.

    Arguments:
        settings: what to do.
        folder: where everything is kept.

    Errors: InputError for settings that cannot work and a folder that holds another run; RefusalError for a design that
    this architecture cannot have. Nothing was trained then.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder, training = settings, folder, settings.training
        self._refuse_others()
        self.tokenizer = tokenizer_of(settings)
        self.loss: Loss = loss_of(training.loss)
        self.sampler: Sampler | None = sampler_of(settings.design.positions, training.length)
        self.model: Any = untrained(settings, self.tokenizer)
        attachment = attachment_of(self.model)
        assert attachment is not None
        check_reach(attachment.target.absolute, self.sampler, training.length)
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise InputError("no parameter of the model can be trained")
        folder.mkdir(parents=True, exist_ok=True)
        self.reading = reading_of(settings, self.tokenizer, attachment.plan, attachment.depth, folder)
        self.optimizers = optimizers_of(self.model, training)
        self.average: dict[str, Tensor] = {}
        if training.average:
            self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.step = load_state(folder, self.model, self.optimizers, self.average)
        self._cut_log()
        write_atomically(folder / "run.json", json.dumps(self._described(), indent=2) + "\n")

    @property
    def exam(self) -> Exam | None:
        """The exam of the trained model; None where `longspan measure` reads its test texts.

        Errors: InputError where the test texts are too short.
        """
        attachment = attachment_of(self.model)
        assert attachment is not None
        return exam_of(self.settings, self.tokenizer, attachment.plan, attachment.depth, self.folder)

    @property
    def parameters(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def train(self) -> Generator[Step]:
        """Make the steps that are missing, and write the model when all are done.

        Errors: InputError where the loss is no number; the step's rows are kept then.
        """
        training = self.settings.training
        self.model.train()
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            while self.step < self.settings.steps:
                made = self._advance()
                log.write(json.dumps(vars(made)) + "\n")
                log.flush()
                if self.step % training.save_every == 0 or self.step == self.settings.steps:
                    save_state(self.folder, self.step, self.model, self.optimizers, self.average)
                yield made
        if not (self.folder / "model").exists():
            self._write_model()

    def _advance(self) -> Step:
        """Make one step."""
        training, began = self.settings.training, time.perf_counter()
        torch.manual_seed(_mixed(training.seed, self.step))  # dropout
        batch = self.reading.batch(self.step, training.batch)
        total, asked = torch.zeros(()), int(batch.asked.sum())
        for number, part in enumerate(batch.parts(training.accumulate)):
            loss = self._loss(part, number, asked)
            loss.backward()
            total = total + loss.detach().float().cpu()
        norm = float(clip_grad_norm_(self.model.parameters(), training.clip))
        if not math.isfinite(float(total)) or not math.isfinite(norm):
            raise self._broken(batch, float(total), norm)
        rate = training.rate * self._share_of_rate()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._update_average()
        return Step(self.step, float(total), norm, rate, round(time.perf_counter() - began, 4))

    def _share_of_rate(self) -> float:
        """Return the learning rate as a share of the highest; each stage has warmup and decay of its own."""
        first, training = self.settings.pretraining.steps, self.settings.training
        if self.step < first:
            return rate_at(self.step, replace(training, steps=first))
        return rate_at(self.step - first, training)

    def _loss(self, batch: Batch, number: int, asked: int) -> Tensor:
        """Return the summed loss of some rows as a share of all that a step asks.

        Arguments:
            number: of the part.
            asked: tokens that all parts of the step are asked for.
        """
        positions = None
        if self.sampler is not None:
            generator = torch.Generator().manual_seed(_mixed(self.settings.training.seed, self.step, number))
            positions = self.sampler(batch.inputs.shape[1], generator)
        with self._autocast():
            hidden, head = hidden_states(self.model, batch, positions), self.model.get_output_embeddings()
            return summed_loss(self.loss, hidden[batch.asked], batch.targets[batch.asked], head, head.weight) / asked

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.settings.training.dtype == "float32":
            return nullcontext()
        device = next(self.model.parameters()).device.type
        return torch.autocast(device, dtype=torch.bfloat16)

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the running average; in the first steps it follows faster."""
        decay = min(self.settings.training.average, self.step / (self.step + 10))
        for name, parameter in self.model.named_parameters() if self.average else ():
            self.average[name].lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def _write_model(self) -> None:
        """Write the trained model: the running average where there is one."""
        for name, parameter in self.model.named_parameters() if self.average else ():
            parameter.copy_(self.average[name])
        self.model.eval()
        overwrite(self.model, self.folder / "model", tokenizer=self.tokenizer)

    def _broken(self, batch: Batch, loss: float, norm: float) -> InputError:
        """Keep what a step read, and say that its loss is no number."""
        path = self.folder / f"broken-step-{self.step + 1}.json"
        write_atomically(path, json.dumps({"step": self.step + 1, "ids": batch.inputs.tolist()}) + "\n")
        return InputError(
            f"step {self.step + 1} gives a loss of {loss} and a gradient of {norm}: its rows are in {path}; give a "
            "smaller training.rate or training.clip"
        )

    def _refuse_others(self) -> None:
        path = self.folder / "run.json"
        if not path.exists():
            return
        found = json.loads(path.read_text(encoding="utf-8"))["settings"]
        wanted = json.loads(json.dumps(self.settings.json()))
        before = Settings(data=DataTable(train=("",))).json()  # a setting that came later had its default before
        differ = [
            f"{table}.{name} {found.get(table, {}).get(name)!r}, not {value!r}"
            for table, values in wanted.items()
            for name, value in values.items()
            if table != "test" and found.get(table, {}).get(name, before[table][name]) != value
        ]
        if differ:
            raise InputError(f"{self.folder} holds another run ({', '.join(differ)}): give another --out")

    def _cut_log(self) -> None:
        """Remove the lines of steps that will be made again."""
        path = self.folder / LOG
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= self.step]
            write_atomically(path, "".join(whole))

    def _described(self) -> dict[str, Any]:
        return {
            "settings": self.settings.json(),
            "parameters": self.parameters,
            **self.reading.described(),
            "hardware": hardware(),
            "versions": versions(),
        }


def _mixed(*numbers: int) -> int:
    """One seed of several numbers."""
    found = 0
    for number in numbers:
        found = (found * 1_000_003 + number + 1) % 2**63
    return found
