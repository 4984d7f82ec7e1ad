"""Rows of a task in token ids: sequences, and what is to be predicted at some of their positions.

All rows of a step have one length, which is drawn with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from longspan.errors import InputError
from longspan.prompts.sequence import SequenceExample, SequenceTask
from longspan.task import Material
from longspan.train.data.batch import Batch
from longspan.train.data.tasks.examples import MOST_DRAWS, is_held_out
from longspan.train.data.tasks.task_rows import TaskRows

NOTHING = Material(None)


@dataclass(frozen=True)
class Sequences(TaskRows):
    """Rows of a task in token ids.

    Arguments:
        task: whose ids are those of the model.
        vocabulary: tokens of the model.
        length: L, the most tokens of a row.
        shortest, longest: tokens of a training example.
        seed: of the order.
    """

    task: SequenceTask
    vocabulary: int
    length: int
    shortest: int
    longest: int
    seed: int = 0

    def batch(self, step: int, count: int) -> Batch:
        """Return training examples.

        Errors: InputError where the task has too few.
        """
        name = f"train/{self.seed}/{step}"
        length = Random(name).randint(self.shortest, self.longest)
        return _rows([self._drawn(length, f"{name}/{row}", tested=False) for row in range(count)])

    def test(self, length: int, index: int) -> Batch:
        """Return one test example of `length` tokens.

        Errors: InputError where the task has none.
        """
        return _rows([self._drawn(length, f"test/{index}", tested=True)])

    def check(self) -> None:
        """Refuse rows that are too short for the longest examples, and ids that the model does not have.

        Errors: InputError.
        """
        if self.longest > self.length:
            raise InputError(
                f"an example of {self.longest} tokens is longer than training.length, {self.length}: give a larger "
                "one, or a smaller data.longest"
            )
        if (ids := self.task.tokens(self.longest)) > self.vocabulary:
            raise InputError(
                f"{self.task.name} has {ids} token ids and the tokenizer {self.vocabulary}: set a smaller vocabulary, "
                "or give data.tokenizer = 'symbols'"
            )
        for length in (self.shortest, self.longest):
            self._drawn(length, "check", tested=False)

    def described(self) -> dict[str, Any]:
        """Return the task."""
        return {"task": self.task.name, "symbols": [self.shortest, self.longest]}

    def _drawn(self, length: int, name: str, *, tested: bool) -> SequenceExample:
        for number in range(MOST_DRAWS):
            example = self.task.example(NOTHING, length, f"{name}/{number}")
            if is_held_out(" ".join(map(str, example.ids))) == tested:
                return example
        raise InputError(
            f"{self.task.name} has too few sequences of {length} tokens to train and test on: set a larger vocabulary"
        )


def _rows(examples: Sequence[SequenceExample]) -> Batch:
    """Examples of one length as rows."""
    inputs = torch.tensor([each.ids for each in examples])
    targets = inputs.clone()
    asked = torch.zeros_like(inputs, dtype=torch.bool)
    for row, each in enumerate(examples):
        places = list(each.targets)
        targets[row, places], asked[row, places] = torch.tensor(list(each.targets.values())), True
    return Batch(inputs, targets, asked)
