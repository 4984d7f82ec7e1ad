"""ListOps: the value of nested operations on digits.

    [MAX 2 9 [MIN 4 7 ] 0 ] is 9

A model must work out inner brackets before outer ones; ten levels at most, in prompts of any length.
Chance is 1 in 10; always answering 9, or 0, is right about twice as often, because maxima and minima are extreme.

Source: Nangia & Bowman 2018, ListOps, arXiv:1804.06028; Tay et al. 2020, Long Range Arena, arXiv:2011.04006 (digits
0 … 9; MIN, MAX, MED, which rounds down, and SM, the sum modulo 10; 2 … 10 arguments, 10 levels).
Differs: expressions grow until the prompt is as long as wanted, digit by digit into operations, where LRA draws whole
trees and keeps those of 500 … 2000 tokens; lengths beyond trained ones are the point here.
"""

import random
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import OnlyOne
from longspan.prompts.task import PromptTask, Request

BEFORE = (
    "Work out the expression. MIN and MAX are the smallest and the largest argument, MED is the median rounded down, "
    "SM is the sum modulo 10.\nExpression: "
)
QUESTION = "\nValue:"

Operation = Callable[[list[int]], int]
OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "MIN": min,
        "MAX": max,
        "MED": lambda digits: int(statistics.median(digits)),
        "SM": lambda digits: sum(digits) % 10,
    }
)
DIGITS = tuple("0123456789")
FEWEST = 2
"""Arguments of an operation."""


@dataclass
class Node:
    """A digit, or an operation while it has arguments; grows in place.

    Arguments:
        level: 1 for the whole expression.
        digit: its value as a digit.
        operation: its name.
        arguments: digits and operations.
    """

    level: int
    digit: int
    operation: str = ""
    arguments: list["Node"] = field(default_factory=list)

    def value(self) -> int:
        """Return what it comes to."""
        return OPERATIONS[self.operation]([node.value() for node in self.arguments]) if self.operation else self.digit

    def written(self) -> Iterator[str]:
        """Yield its symbols, a space after each."""
        if not self.operation:
            yield f"{self.digit} "
            return
        yield f"[{self.operation} "
        for node in self.arguments:
            yield from node.written()
        yield "] "


@dataclass(frozen=True)
class ListOps(PromptTask):
    """A nested expression.

    Arguments:
        levels: most operations inside one another, 1 … 100.
        arguments: most arguments of an operation, 2 … 1000.
    """

    levels: int = 10
    arguments: int = 10

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        self.require_between(1, 100, "levels")
        self.require_between(FEWEST, 1000, "arguments")

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Replace `amount.units` digits by operations, then give operations `amount.words` more digits."""
        if amount.characters:
            return None
        generator = request.generator()
        later = random.Random(generator.getrandbits(64))
        root = Node(1, 0)
        operations, digits = [root], list[Node]()
        self._open(root, generator, digits)
        for _ in range(amount.units):
            if not digits:
                return None
            where = generator.randrange(len(digits))
            digits[where], digits[-1] = digits[-1], digits[where]
            node = digits.pop()
            operations.append(node)
            self._open(node, generator, digits)
        for _ in range(amount.words):
            growing = [node for node in operations if len(node.arguments) < self.arguments]
            if not growing:
                return None
            node = later.choice(growing)
            node.arguments.insert(later.randint(0, len(node.arguments)), Node(node.level + 1, later.randrange(10)))
        prompt = Prompt(BEFORE, tuple(root.written()), QUESTION)
        return Draft(prompt, (str(root.value()),), OnlyOne(DIGITS), DIGITS)

    def _open(self, node: Node, generator: random.Random, digits: list[Node]) -> None:
        """Make an operation of a digit; its arguments may become operations where another level is allowed."""
        node.operation = generator.choice(list(OPERATIONS))
        count = generator.randint(FEWEST, self.arguments)
        node.arguments = [Node(node.level + 1, generator.randrange(10)) for _ in range(count)]
        if node.level < self.levels:
            digits += node.arguments
