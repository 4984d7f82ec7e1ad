"""Variable tracking: which variables have a value, when most get it from one another.

    VAR AAAAA = 12345 … VAR BBBBB = VAR AAAAA … VAR CCCCC = VAR BBBBB …

A model must follow a chain of assignments through five sentences that repeat; each link is found only after the one
before. The score is the share of the chain's variables that it names.
Chance is zero; but with one chain, a model that names all variables of the text is right.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654; NVIDIA/RULER, scripts/data/synthetic/variable_tracking.py.
Differs: no name is part of the text around it (the score would find "GREEN" in an output about green grass); the
demonstration has its own names and values, and 10 lines of noise, fewer below 4096 tokens; prompts come within 3 % of
the wanted length.
"""

import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from longspan.prompts.example import Draft
from longspan.prompts.filler import NOISE, Amount
from longspan.prompts.needles import insert, lines
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import AllOf
from longspan.prompts.task import PromptTask, Request

BEFORE = "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n"
QUESTION = (
    "\nQuestion: Find all variables that are assigned the value {value} in the text above."
    " Answer: According to the chain(s) of variable assignment in the text above, {count} variables are assigned the "
    "value {value}, they are: "
)
DEMONSTRATED = 12345
"""The value of the solved example; other chains have the next ones."""
TEXT_AROUND = (" ".join(NOISE) + BEFORE + QUESTION).upper()


@dataclass(frozen=True)
class VariableTracking(PromptTask):
    """RULER's vt.

    Arguments:
        chains: how many chains there are, 1 … 100; the first one is asked for.
        hops: assignments after the first one of a chain, 0 … 100.
        demonstration: lines of noise in the solved example that comes first, 0 … 1000.
    """

    generated = 30

    chains: int = 1
    hops: int = 4
    demonstration: int = 10

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        self.require_between(1, 100, "chains")
        self.require_between(0, 100, "hops")
        self.require_between(0, 1000, "demonstration")

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Hide the chains behind a solved example."""
        generator = request.generator()
        shown = min(self.demonstration, self.demonstration * request.length // 4096)
        demonstrated = range(DEMONSTRATED, DEMONSTRATED + self.chains)
        example, names = self._prompt(generator, 3, demonstrated, Amount(shown))
        values = [
            value for value in generator.sample(range(10000, 99999), 2 * self.chains) if value not in demonstrated
        ]
        prompt, variables = self._prompt(generator, 5, values[: self.chains], amount)
        if prompt is None or example is None:
            return None
        before = example.text + " ".join(names) + "\n\n\n\n" + prompt.before
        return Draft(Prompt(before, prompt.context, prompt.question, prompt.needles), tuple(variables), AllOf())

    def _prompt(
        self, generator: random.Random, letters: int, values: Sequence[int], amount: Amount
    ) -> tuple[Prompt | None, list[str]]:
        """Return a prompt about the first value, and the variables that have it."""
        names = _names(generator, letters)
        chains = [list(islice(names, self.hops + 1)) for _ in values]
        statements, depths = list[str](), list[float]()
        for chain, value in zip(chains, values, strict=True):
            statements.append(f"VAR {chain[0]} = {value}\n")
            statements += [f"VAR {new} = VAR {old} \n" for old, new in pairwise(chain)]
            depths += sorted(generator.random() for _ in chain)
        pieces = lines(lambda _: " ".join(NOISE), amount)
        if pieces is None:
            return None, []
        context, where = insert(pieces, statements, depths)
        question = QUESTION.format(value=values[0], count=self.hops + 1)
        return Prompt(BEFORE, tuple(context), question, tuple(where[: self.hops + 1])), chains[0]


def _names(generator: random.Random, letters: int) -> Iterator[str]:
    seen = set[str]()
    while True:
        name = "".join(generator.choices(string.ascii_uppercase, k=letters))
        if name not in seen and name not in TEXT_AROUND:
            seen.add(name)
            yield name
