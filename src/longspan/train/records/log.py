"""The log of a run: one line of JSON per step, and TensorBoard's files beside it where they are asked for.

log.jsonl       what came of each step
tensorboard/    the same as curves: `tensorboard --logdir FOLDER`
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from longspan.disk import write_atomically
from longspan.errors import InputError

LOG, BOARD = "log.jsonl", "tensorboard"


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


class Log(ABC):
    """Where steps are written."""

    @abstractmethod
    def write(self, step: Step) -> None:
        """Write a step; it is on disk afterwards, or soon."""


@dataclass(frozen=True, eq=False)
class Lines(Log):
    """One line of JSON per step.

    Arguments:
        file: open for appending.
    """

    file: TextIO

    def write(self, step: Step) -> None:
        """Append a line."""
        self.file.write(json.dumps(vars(step)) + "\n")
        self.file.flush()


class Curves(Log):
    """TensorBoard's files.

    Arguments:
        folder: of the run.
        done: steps that the run goes on after; curves forget later ones.
    """

    def __init__(self, folder: Path, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / BOARD), purge_step=done + 1)

    def write(self, step: Step) -> None:
        """Append a point to each curve."""
        for name in ("loss", "norm", "rate", "seconds"):
            self.writer.add_scalar(f"train/{name}", getattr(step, name), step.step)


def check_tensorboard() -> None:
    """Refuse curves where TensorBoard is not installed.

    Errors: InputError.
    """
    if find_spec("tensorboard") is None:
        raise InputError(
            "log.tensorboard needs the package tensorboard: pip install 'longspan[tensorboard]', or leave it out"
        )


@contextmanager
def open_logs(folder: Path, done: int, *, tensorboard: bool) -> Iterator[list[Log]]:
    """Open the logs of a run that goes on after `done` steps.

    Arguments:
        tensorboard: whether curves are written as well.
    """
    with ExitStack() as stack:
        file = stack.enter_context((folder / LOG).open("a", encoding="utf-8"))
        logs: list[Log] = [Lines(file)]
        if tensorboard:
            curves = Curves(folder, done)
            stack.callback(curves.writer.close)
            logs.append(curves)
        yield logs


def cut_log(folder: Path, done: int) -> None:
    """Remove the lines of steps after `done`, which will be made again."""
    path = folder / LOG
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= done]
        write_atomically(path, "".join(whole))
