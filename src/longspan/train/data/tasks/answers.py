"""Rows of a task: prompts whose answers are to be predicted, and nothing else.

written    prompt  answer_0 answer_1 …           each symbol is predicted from those before it, the end as well
filled in  prompt  <mask>   <mask>   …           by a model that sees both directions, all at once
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from longspan.errors import InputError
from longspan.train.data.batch import Batch
from longspan.train.data.tasks.examples import Answered, Examples
from longspan.train.data.tasks.task_rows import TaskRows

CHECKED = 64
"""Examples that are made before a training starts, to see whether rows hold them."""


@dataclass(frozen=True)
class Answers(TaskRows):
    """Rows of a task.

    Arguments:
        examples: of the task.
        length: L, the most tokens of a row.
        shortest, longest: symbols of a training example.
        end: the token that ends a text; it fills rows up as well.
        seed: of the order.
    """

    examples: Examples
    length: int
    shortest: int
    longest: int
    end: int
    seed: int = 0

    def batch(self, step: int, count: int) -> Batch:
        """Return training examples.

        Errors: InputError where one is longer than a row.
        """
        return self._fitting([self.training(step, row) for row in range(count)])

    def training(self, step: int, row: int) -> Answered:
        """Return the example of a row of a step."""
        return self.examples.training(f"train/{self.seed}/{step}/{row}", self.shortest, self.longest)

    def test(self, length: int, index: int) -> Batch:
        """Return a test example of `length` symbols.

        Errors: InputError where there is none.
        """
        return self.rows([self.examples.test(length, index)])

    def check(self) -> None:
        """Refuse rows that are too short for the longest examples.

        Errors: InputError.
        """
        self._fitting([self.examples.training(f"check/{i}", self.longest, self.longest) for i in range(CHECKED)])

    def _fitting(self, examples: Sequence[Answered]) -> Batch:
        made = self.rows(examples)
        if made.inputs.shape[1] > self.length:
            raise InputError(
                f"an example of {self.longest} symbols has {made.inputs.shape[1]} tokens and training.length is "
                f"{self.length}: give a larger one, or a smaller data.longest"
            )
        return made

    @abstractmethod
    def rows(self, examples: Sequence[Answered]) -> Batch:
        """Return examples as rows, each filled up to the longest."""

    def described(self) -> dict[str, Any]:
        """Return the task."""
        return {"task": self.examples.task.name, "symbols": [self.shortest, self.longest]}


class Written(Answers):
    """Answers that are written from left to right."""

    def rows(self, examples: Sequence[Answered]) -> Batch:
        """Return prompt and answer; the answer and the end of the text are asked for."""
        longest = max(len(each.prompt) + len(each.answer) for each in examples)
        ids = torch.full((len(examples), longest + 1), self.end)
        asked, real = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
        for row, each in enumerate(examples):
            whole = (*each.prompt, *each.answer)
            ids[row, : len(whole)], real[row, : len(whole)] = torch.tensor(whole), True
            asked[row, len(each.prompt) : len(whole) + 1] = True
        return Batch(ids[:, :-1], ids[:, 1:], asked[:, 1:], real=real[:, :-1], unseen=True)


@dataclass(frozen=True)
class FilledIn(Answers):
    """Answers that are filled in, symbol by symbol but all at once.

    Arguments:
        mask: the token that stands for a symbol of the answer.
    """

    mask: int = 0

    def rows(self, examples: Sequence[Answered]) -> Batch:
        """Return prompts with as many masks as the answer has symbols."""
        longest = max(len(each.prompt) + len(each.answer) for each in examples)
        given = torch.full((len(examples), longest), self.end)
        targets, asked = given.clone(), torch.zeros_like(given, dtype=torch.bool)
        real = torch.zeros_like(asked)
        for row, each in enumerate(examples):
            start, stop = len(each.prompt), len(each.prompt) + len(each.answer)
            given[row, :start], given[row, start:stop] = torch.tensor(each.prompt), self.mask
            targets[row, start:stop] = torch.tensor(each.answer)
            asked[row, start:stop], real[row, :stop] = True, True
        return Batch(given, targets, asked, real=real)
