"""Tasks in token ids: a sequence, and which id is right at some of its positions. They need no tokenizer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

from longspan.errors import InputError
from longspan.task import Material, Task


@dataclass(frozen=True)
class SequenceExample:
    """A sequence of token ids and what has to be predicted at some of its positions.

    Arguments:
        ids: the tokens.
        targets: by position, the id that a model must predict there; predictions are not shifted.
        context: how many first tokens hold what the targets depend on; 0 where they depend on all.
    """

    ids: tuple[int, ...]
    targets: Mapping[int, int]
    context: int = 0

    @property
    def length(self) -> int:
        """Tokens."""
        return len(self.ids)

    def score(self, predicted: Mapping[int, int]) -> float:
        """Return the share of targets that are predicted, 0 … 1."""
        return sum(predicted.get(position) == right for position, right in self.targets.items()) / len(self.targets)

    def error(self, predicted: Mapping[int, int]) -> float:
        """Return the mean distance between predictions and targets, for targets that are numbers."""
        return sum(abs(predicted[position] - right) for position, right in self.targets.items()) / len(self.targets)

    def truncated(self, length: int) -> "SequenceExample":
        """Return the last `length` tokens and their targets.

        Errors: InputError where no target is among them.
        """
        cut = max(0, self.length - length)
        targets = {position - cut: right for position, right in self.targets.items() if position >= cut}
        if not targets:
            raise InputError(f"the last {length} of {self.length} tokens hold nothing to predict: give more")
        return replace(self, ids=self.ids[cut:], targets=targets, context=max(0, self.context - cut))

    @property
    def controls(self) -> dict[str, "SequenceExample"]:
        """The same targets with less to predict them from, by name."""
        return {"without_context": self.truncated(self.length - self.context)} if self.context else {}


class SequenceTask(Task[SequenceExample], ABC):
    """A task in token ids: a value whose fields are settings with defaults."""

    @abstractmethod
    def tokens(self, length: int) -> int:
        """Return how many token ids an example of `length` tokens may hold or ask for: 0 … this number − 1."""

    @abstractmethod
    def example(self, material: Material, length: int, index: str) -> SequenceExample:
        """Make one example of 0.97 · length … length tokens; the material is not used.

        Errors: InputError where the task's settings do not fit into so many tokens.
        """
