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
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from longspan.disk import write_atomically
from longspan.errors import InputError
from longspan.measure.hardware.machine import hardware, versions
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.storing.save import overwrite
from longspan.train.comparison import context_settings
from longspan.train.data.batch import Batch
from longspan.train.data.choosing import reading_of, tokenizer_of
from longspan.train.exams.choosing import exam_of
from longspan.train.exams.exam import Exam
from longspan.train.following import Following
from longspan.train.forward import Objective
from longspan.train.loss import loss_of
from longspan.train.model import untrained
from longspan.train.optimizers import optimizers_of, rate_at
from longspan.train.packing import check_apart
from longspan.train.processes.choosing import engine_of
from longspan.train.processes.engine import own_part
from longspan.train.processes.group import Processes
from longspan.train.processes.launch import alone
from longspan.train.records.log import Log, Step, check_tensorboard, cut_log, open_logs
from longspan.train.records.state import load_state, on_cpu, save_state
from longspan.train.samplers import Sampler, check_reach, sampler_of
from longspan.train.settings import Settings
from longspan.train.tables import DataTable

FREE = ("test", "parallel", "log", "training.device")
"""Tables and settings that may change when a run goes on: they change no loss but by rounding."""


class Run:
    """A run in its folder.

    Arguments:
        settings: what to do.
        folder: where everything is kept.
        processes: of which this is one; None for this one alone. The first one writes.

    `read` counts the tokens that were read since the run was opened, without padding.

    Errors: InputError for settings that cannot work and a folder that holds another run; RefusalError for a design that
    this architecture cannot have. Nothing was trained then.
    """

    def __init__(self, settings: Settings, folder: Path, processes: Processes | None = None) -> None:
        self.settings, self.folder, training = settings, folder, settings.training
        self._refuse_others()
        self.processes = alone(settings) if processes is None else processes
        if settings.log.tensorboard:
            check_tensorboard()
        self.tokenizer = tokenizer_of(settings)
        loss = loss_of(training.loss)
        self.sampler: Sampler | None = sampler_of(settings.design.positions, training.length)
        if settings.has_exam:  # a name that means nothing is an error now, not after the training
            sampler_of(settings.test.positions, 1, "test.positions")
        self.model: Any = untrained(settings, self.tokenizer)  # on the CPU: weights do not depend on the device
        attachment = attachment_of(self.model)
        assert attachment is not None
        check_reach(attachment.target.absolute, self.sampler, training.length)
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise InputError("no parameter of the model can be trained")
        folder.mkdir(parents=True, exist_ok=True)
        with self.processes.first_goes_ahead():
            self.reading = reading_of(settings, self.tokenizer, attachment.plan, attachment.depth, folder)
        if self.reading.packs:
            check_apart(self.model)
        self.engine, self.sequences = engine_of(
            Objective(self.model, loss, getattr(torch, training.dtype)), self.processes
        )
        self.optimizers = optimizers_of(self.model, training)
        self.following = Following(self.model)
        self.read = 0
        self.average: dict[str, Tensor] = {}
        if training.average:
            self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        with self.processes.first_goes_ahead():  # it puts back what a kill left behind
            self.step = load_state(folder, self.model, self.optimizers, self.average)
        if self.processes.first:
            cut_log(folder, self.step)
            write_atomically(folder / "run.json", json.dumps(self._described(), indent=2) + "\n")

    @property
    def exam(self) -> Exam | None:
        """The exam of the trained model; None where `longspan measure` reads its test texts.

        Errors: InputError where the test texts are too short.
        """
        return self._exam(self.settings)

    @property
    def context_exam(self) -> Exam | None:
        """The exam that says whether context helps the trained model; None where `longspan measure` does, or a task.

        Errors: as for `exam`.
        """
        return None if self.settings.data.task is not None else self._exam(context_settings(self.settings))

    def _exam(self, settings: Settings) -> Exam | None:
        attachment = attachment_of(self.model)
        assert attachment is not None
        return exam_of(settings, self.tokenizer, attachment.plan, attachment.depth, self.folder)

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
        with self._logs() as logs:
            while self.step < self.settings.steps:
                made = self._advance()
                for log in logs:
                    log.write(made)
                if self.step % training.save_every == 0 or self.step == self.settings.steps:
                    self._save()
                yield made
        if not (self.folder / "model").exists():
            self._write_model()

    def _logs(self) -> AbstractContextManager[list[Log]]:
        if not self.processes.first:
            return nullcontext([])
        return open_logs(self.folder, self.step, tensorboard=self.settings.log.tensorboard)

    def _save(self) -> None:
        state = self.step, self.model, self.optimizers, self.average
        save_state(self.folder, *state, writes=self.processes.first)

    def _advance(self) -> Step:
        """Make one step."""
        training, began = self.settings.training, time.perf_counter()
        torch.manual_seed(self._dropout_seed())
        batch = self.reading.batch(self.step, training.batch)
        total, asked = torch.zeros((), device=self.processes.device), max(1, int(batch.asked.sum()))
        self.engine.objective.read = batch.read
        self.read += batch.read
        for number, part in enumerate(batch.parts(training.accumulate)):
            own, positions = self.processes.rows(part), self._positions(part, number)
            if self.sequences is not None:
                own, positions = self.sequences.own(own, positions)
            last = number == training.accumulate - 1
            total = total + self.engine.add_gradients(own, positions, asked, last=last).float()
            self.following.collect()
        total, norm = self.processes.sum(total), self.engine.clip(training.clip)
        loss, norm = torch.stack([total, norm.float()]).tolist()  # the only numbers that a step waits for
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise self._broken(batch, loss, norm)
        rate = training.rate * self._share_of_rate()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.following.update(_mixed(training.seed, self.step), self.processes)
        self.step += 1
        self._update_average()
        return Step(self.step, loss, norm, rate, round(time.perf_counter() - began, 4))

    def _dropout_seed(self) -> int:
        """Return the seed of a step's dropout: processes that read different tokens drop different ones."""
        several = (self.processes.rank,) if self.processes.count > 1 else ()
        return _mixed(self.settings.training.seed, self.step, *several)

    def _share_of_rate(self) -> float:
        """Return the learning rate as a share of the highest; each stage has warmup and decay of its own."""
        first, training = self.settings.pretraining.steps, self.settings.training
        if self.step < first:
            return rate_at(self.step, replace(training, steps=first))
        return rate_at(self.step - first, training)

    def _positions(self, batch: Batch, number: int) -> Shaped[Tensor, "1 tokens"] | None:
        """Return the sampled positions of a part of a step; None where tokens are counted.

        Arguments:
            number: of the part.
        """
        if self.sampler is None:
            return None
        generator = torch.Generator().manual_seed(_mixed(self.settings.training.seed, self.step, number))
        return self.sampler(batch.inputs.shape[1], generator)

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the running average; in the first steps it follows faster."""
        decay = min(self.settings.training.average, self.step / (self.step + 10))
        for name, parameter in self.model.named_parameters() if self.average else ():
            own_part(self.average[name]).lerp_(own_part(parameter), 1 - decay)

    @torch.no_grad()
    def _write_model(self) -> None:
        """Write the trained model: the running average where there is one."""
        trained = self.average or dict(self.model.named_parameters())
        if self.processes.count > 1 or self.processes.device.type != "cpu":
            # The model may hold a part of the weights, see a part of a text, and lie where no file can be written from.
            trained = on_cpu(trained, kept=self.processes.first)
            if not self.processes.first:
                return
            self.model = untrained(self.settings, self.tokenizer)
        for name, parameter in self.model.named_parameters():
            parameter.copy_(trained[name])
        self.model.eval()
        overwrite(self.model, self.folder / "model", tokenizer=self.tokenizer)

    def _broken(self, batch: Batch, loss: float, norm: float) -> InputError:
        """Keep what a step read, and say that its loss is no number."""
        path = self.folder / f"broken-step-{self.step + 1}.json"
        if self.processes.first:
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
            if table not in FREE
            and f"{table}.{name}" not in FREE
            and found.get(table, {}).get(name, before[table][name]) != value
        ]
        if differ:
            raise InputError(f"{self.folder} holds another run ({', '.join(differ)}): give another --out")

    def _described(self) -> dict[str, Any]:
        return {
            "settings": self.settings.json(),
            "parameters": self.parameters,
            **self.reading.described(),
            "hardware": hardware(self.processes.device),
            "versions": versions(),
        }


def _mixed(*numbers: int) -> int:
    """One seed of several numbers."""
    found = 0
    for number in numbers:
        found = (found * 1_000_003 + number + 1) % 2**63
    return found
