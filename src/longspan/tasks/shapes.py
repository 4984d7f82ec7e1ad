"""Shapes: which of ten shapes is in a picture that is read row by row, a digit per pixel?

A shape lies anywhere in a grey picture, light on dark or dark on light, with noise on every pixel. Sizes are chosen so
that all shapes have about as many pixels: counting digits says little. Chance is 1 in 10. Longer examples have zeros
after the picture, which change no answer.

Source: a stand-in of our own for classifying pictures as sequences of grey pixels, as Tay et al. 2020, Long Range
Arena, arXiv:2011.04006, do with photographs, which cannot be drawn. It is no task of that benchmark, and scores cannot
be compared with it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Int64

from longspan.memo import remember
from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import OnlyOne
from longspan.prompts.task import PromptTask, Request

Whole = Int64[np.ndarray, "rows columns"]
Inside = Callable[[Whole, Whole, int], Bool[np.ndarray, "rows columns"]]
"""Which places, counted from the middle, belong to a shape of a size; whole numbers only, so that machines agree."""


def _widest(row: Whole, column: Whole) -> Whole:
    return np.maximum(abs(row), abs(column))


SHAPES: Mapping[str, Inside] = MappingProxyType(
    {
        "bars": lambda row, column, size: (_widest(row, column) <= size) & (row % 4 < 2),
        "cross": lambda row, column, size: (
            (np.minimum(abs(row), abs(column)) <= size // 4) & (_widest(row, column) <= size)
        ),
        "diamond": lambda row, column, size: abs(row) + abs(column) <= size,
        "disc": lambda row, column, size: row**2 + column**2 <= size**2,
        "frame": lambda row, column, size: (_widest(row, column) <= size) & (2 * _widest(row, column) > size),
        "ring": lambda row, column, size: (row**2 + column**2 <= size**2) & (4 * (row**2 + column**2) > size**2),
        "saltire": lambda row, column, size: (
            (abs(abs(row) - abs(column)) <= size // 4) & (_widest(row, column) <= size)
        ),
        "square": lambda row, column, size: _widest(row, column) <= size,
        "stripes": lambda row, column, size: (_widest(row, column) <= size) & (column % 4 < 2),
        "triangle": lambda row, column, size: (abs(row) <= size) & (2 * abs(column) <= size + row),
    }
)
ANSWERS = tuple(SHAPES)
SIDE = 32
PIXELS = (60, 220)
"""Of a shape, about."""
LEVELS = 10
APART = 3
"""The least difference between the levels of a shape and of what is around it."""
BEFORE = "A picture, row by row. Which shape is in it?\nPicture: "
QUESTION = "\nAnswer:"


@dataclass(frozen=True)
class Shapes(PromptTask):
    """A picture of one shape.

    Arguments:
        side: pixels of a side, 32 … 512.
    """

    side: int = SIDE

    def __post_init__(self) -> None:
        """Refuse sides that have no room for every shape.

        Errors: InputError.
        """
        self.require_between(SIDE, 512, "side")

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Draw a picture, with `amount.units` zeros after it."""
        if amount.words or amount.characters:
            return None
        name, drawn = picture(self.side, request.seed)
        pixels = (*drawn.reshape(-1).tolist(), *[0] * amount.units)
        prompt = Prompt(BEFORE, tuple(f"{pixel} " for pixel in pixels), QUESTION)
        return Draft(prompt, (name,), OnlyOne(ANSWERS), ANSWERS)


@remember(4)
def picture(side: int, seed: str) -> tuple[str, Whole]:
    """Draw the picture of a seed, and return its shape with its pixels, 0 … 9."""
    generator = Random(seed)
    name, wanted = generator.choice(ANSWERS), generator.randint(*PIXELS)
    size = min(range(3, SIDE // 2), key=lambda size: abs(counts()[name, size] - wanted))
    top, left = (generator.randint(size, side - 1 - size) for _ in range(2))
    around = generator.randrange(LEVELS)
    level = generator.choice([each for each in range(LEVELS) if abs(each - around) >= APART])
    row, column = np.mgrid[:side, :side]
    inside = SHAPES[name](row - top, column - left, size)
    noise = np.array([generator.randint(-1, 1) for _ in range(side**2)]).reshape(side, side)
    return name, (np.where(inside, level, around) + noise).clip(0, LEVELS - 1)


@remember(1)
def counts() -> Mapping[tuple[str, int], int]:
    """Return the pixels of each shape in each size."""
    row, column = np.mgrid[-SIDE:SIDE, -SIDE:SIDE]
    return {(name, size): int(SHAPES[name](row, column, size).sum()) for name in ANSWERS for size in range(SIDE // 2)}
