"""Self-pretraining: first the task's own inputs are predicted, then its answers.

A design that learns a task from its answers alone has the answers' few bits to learn positions from; its inputs have
many. Comparing designs without this stage compares how they start, not what they can do.

Source: Amos et al. 2023, "Never Train from Scratch", arXiv:2310.02980; Su 2023, kexue.fm/archives/9787. They hide 50 %
of an image's tokens, 15 % of a text's and 10 % of those of ListOps.
Differs from the paper: the optimizer keeps its state between the stages, and the last weights go on, not the best ones.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from longspan.train.data.batch import Batch, Reading
from longspan.train.data.masked import Hiding
from longspan.train.data.tasks.answers import Answers
from longspan.train.data.tasks.examples import Answered


@dataclass(frozen=True)
class Inputs(Reading):
    """The prompts of a task as texts to predict.

    Arguments:
        answers: the task's rows; their answers are left out.
        hiding: how tokens are hidden; None to predict each token from those before it.
    """

    answers: Answers
    hiding: Hiding | None

    def batch(self, step: int, count: int) -> Batch:
        """Return prompts, filled up to the longest."""
        drawn = [self.answers.training(step, row) for row in range(count)]
        return self.rows(drawn, np.random.default_rng([self.answers.seed, step, 1]))

    def rows(self, examples: list[Answered], generator: np.random.Generator) -> Batch:
        """Return the prompts of some examples, filled up to the longest."""
        longest = max(len(each.prompt) for each in examples)
        ids = torch.full((len(examples), longest), self.answers.end)
        real = torch.zeros_like(ids, dtype=torch.bool)
        for row, each in enumerate(examples):
            ids[row, : len(each.prompt)], real[row, : len(each.prompt)] = torch.tensor(each.prompt), True
        if self.hiding is None:
            return Batch(ids[:, :-1], ids[:, 1:], real[:, 1:], real=real[:, :-1], unseen=True)
        given, chosen = self.hiding.hide(ids, generator, real)
        return Batch(given, ids, chosen, real=real)


@dataclass(frozen=True)
class Stages(Reading):
    """One reading after the other.

    Arguments:
        first: read for `steps` steps.
        second: read afterwards, from its own step 0 on.
    """

    first: Reading
    steps: int
    second: Reading

    def batch(self, step: int, count: int) -> Batch:
        """Return what the step's stage reads."""
        return self.first.batch(step, count) if step < self.steps else self.second.batch(step - self.steps, count)

    def described(self) -> dict[str, Any]:
        """Return what is known of the second stage, and how long the first is."""
        return {**self.second.described(), "pretraining_steps": self.steps}
