"""Add two numbers of any length, written digit by digit.

    4 7 1 + 3 9 = 5 1 0

A model must line up digits that are half the prompt apart and carry from the right, but write from the left.
Chance is zero for long numbers.

Source: Ruoss et al. 2023, arXiv:2305.16843 (binary addition); Kazemnejad et al. 2023, arXiv:2305.19466 (addition).
"""

from dataclasses import dataclass

from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount
from longspan.prompts.prompt import Prompt
from longspan.prompts.task import PromptTask, Request

BEFORE = "Add the two numbers, whose digits are written with spaces between them.\n"


@dataclass(frozen=True)
class Addition(PromptTask):
    """The sum of two numbers whose lengths differ by one digit at most.

    Arguments:
        base: 2 … 10, of the digits.
    """

    base: int = 10

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        self.require_between(2, 10, "base")

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Add numbers of `amount.units` + 2 digits together; digits that are added later are put in front."""
        if amount.words or amount.characters:
            return None
        generator = request.generator()
        digits = [generator.randrange(self.base) for _ in range(amount.units + 2)]
        left, right = digits[::2], digits[1::2]
        total, carry = list[int](), 0
        for i in range(len(left)):
            carry, digit = divmod(left[i] + (right[i] if i < len(right) else 0) + carry, self.base)
            total.append(digit)
        total += [carry] * (carry > 0)
        context = (*_written(left), "+ ", *_written(right))
        return Draft(Prompt(BEFORE, context, " ="), ("".join(_written(total)).rstrip(),))


def _written(digits: list[int]) -> list[str]:
    """The digits from the last, which counts most, with a space after each."""
    return [f"{digit} " for digit in reversed(digits)]
