"""A pass key of five digits, hidden in five sentences that repeat.

A model must copy the only number of the prompt; it needs no key to find it by. A model that reads its whole prompt
solves this at any length, so failure says more than success.
Chance is zero: a number of five digits cannot be guessed.

Source: Mohtashami & Jaggi 2023, Landmark attention, arXiv:2305.16300 (llama/run_test.py).
Differs: all keys have five digits, there they were 1 … 50000 and a fifth of them shorter; the key may be between
sentences only, there it was between any two characters.
"""

from dataclasses import dataclass

from longspan.prompts.example import Draft
from longspan.prompts.filler import NOISE, Amount, filler
from longspan.prompts.needles import insert
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import FirstNumber
from longspan.prompts.sentences import spaced
from longspan.prompts.task import PromptTask, Request

BEFORE = (
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. "
    "I will quiz you about the important information there.\n"
)
NEEDLE = "\nThe pass key is {key}. Remember it. {key} is the pass key.\n"
QUESTION = "\nWhat is the pass key? The pass key is"


@dataclass(frozen=True)
class Passkey(PromptTask):
    """Passkey retrieval.

    Arguments:
        digits: digits of the key, 1 … 100.
    """

    generated = 10

    digits: int = 5

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        self.require_between(1, 100, "digits")

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Hide a key at a random depth."""
        generator = request.generator()
        key = str(generator.randrange(10 ** (self.digits - 1), 10**self.digits))
        depth = generator.random()
        pieces = filler(lambda i: NOISE[i % len(NOISE)], amount)
        if pieces is None:
            return None
        context, needles = insert(spaced(pieces), [NEEDLE.format(key=key)], [depth])
        return Draft(Prompt(BEFORE, tuple(context), QUESTION, tuple(needles)), (key,), FirstNumber())
