"""Pathfinder: are two marked ends those of one dashed curve?

Two long dashed curves, short ones that distract, and two discs: one on the first end of a long curve, one on the last
end of the same curve or of the other. A picture is read row by row, a digit per pixel: 0 is black, 9 is white. Chance
is one half. Longer examples have black pixels after the picture, which change no answer.

Source: Linsley et al. 2018, arXiv:1805.08315, and Kim et al. 2020, openreview.net/forum?id=HJxrVA4FDS; Tay et al. 2020,
Long Range Arena, arXiv:2011.04006 (pathfinder, the hard split).
Differs: these are pictures of our own, no file of Long Range Arena. Ends lie on a grid of thirds of a pixel and turn by
steps of 5 degrees, in whole numbers, so that every machine draws the same; the curves' gaps are kept free as well as
their dashes, so that no two curves cross; strokes are white, and a pixel is the number of its ninths that are covered,
where the original dims them and resamples with Lanczos' filter.

The settings of each size were checked against google-research/long-range-arena, lra_benchmarks/data/pathfinder.py, and
the defaults that it leaves in place against drewlinsley/pathfinder, snakes2_wrapper.py. How often a curve is tried
again was not taken over.
"""

from dataclasses import dataclass
from math import cos, isqrt, pi
from random import Random

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from longspan.errors import InputError
from longspan.memo import remember
from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import OnlyOne
from longspan.prompts.task import PromptTask, Request

BEFORE = "A picture, row by row. Are the two discs the ends of one dashed curve?\nPicture: "
QUESTION = "\nAnswer:"
ANSWERS = ("no", "yes")
CELLS = 3
"""Cells of the grid along a side of a pixel."""
TURN = 5
"""Degrees between two directions."""
UNIT = 2**16
COSINES = tuple(round(UNIT * cos(degree * pi / 180)) for degree in range(360))
"""Of whole degrees, times `UNIT`; none is near a half, so that every machine rounds alike."""
MOST_STARTS = 10_000
SEED_DRAWS, DISTRACTOR_DRAWS = 50, 5

Cell = tuple[int, int]
"""Row and column of the grid."""


@dataclass(frozen=True)
class Layout:
    """What the pictures of one size look like; lengths are pixels.

    Arguments:
        margins: free space around a dash; each picture takes one.
        dash: length of a dash.
        thickness: of a stroke, halves of a pixel.
        radius: of a disc, halves of a pixel.
        apart: distance between the first ends of the long curves.
        continuity: how straight curves are, tenths: the weight of a turn by an angle a is cos²(continuity · a).
        distractors: how many short curves are tried.
    """

    margins: tuple[int, ...]
    dash: int
    thickness: int
    radius: int
    apart: int
    continuity: int
    distractors: int


LAYOUTS = {
    32: Layout((1,), dash=2, thickness=1, radius=3, apart=7, continuity=10, distractors=20 // 4),
    64: Layout((1,), dash=5, thickness=2, radius=5, apart=12, continuity=18, distractors=22 // 4),
    128: Layout((2, 3), dash=5, thickness=3, radius=6, apart=20, continuity=18, distractors=35 // 4),
}
DASHES, DISTRACTING_DASHES = 14, 14 // 3
"""Of a long curve in the hard split, and of a short one."""


@dataclass(frozen=True)
class Curve:
    """A dashed curve.

    Arguments:
        dashes: first and last cell of each dash, in order along the curve.
    """

    dashes: tuple[tuple[Cell, Cell], ...]

    @property
    def ends(self) -> tuple[Cell, Cell]:
        """Its first and its last cell."""
        return self.dashes[0][0], self.dashes[-1][1]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture and what is in it.

    Arguments:
        pixels: 0 … 9.
        curves: the two long ones, then the short ones.
        discs: the cells in the middle of the two discs.
        connected: whether both discs are on the same curve.
    """

    pixels: Int64[np.ndarray, "rows columns"]
    curves: tuple[Curve, ...]
    discs: tuple[Cell, Cell]
    connected: bool


@dataclass(frozen=True)
class Pathfinder(PromptTask):
    """A picture and whether its discs are the ends of one curve.

    Arguments:
        size: pixels of a side: 32, 64 or 128.
    """

    size: int = 32

    def __post_init__(self) -> None:
        """Refuse sizes that have no layout.

        Errors: InputError.
        """
        self.require(self.size in LAYOUTS, "size", "32, 64 or 128")

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Draw a picture, with `amount.units` black pixels after it."""
        if amount.words or amount.characters:
            return None
        drawn = picture(self.size, request.seed)
        pixels = (*drawn.pixels.reshape(-1).tolist(), *[0] * amount.units)
        prompt = Prompt(BEFORE, tuple(f"{pixel} " for pixel in pixels), QUESTION)
        return Draft(prompt, (ANSWERS[drawn.connected],), OnlyOne(ANSWERS), ANSWERS)


@remember(4)
def picture(size: int, seed: str) -> Picture:
    """Draw the picture of a seed.

    Errors: InputError where the curves find no room, however often they begin anew.
    """
    generator, layout = Random(seed), LAYOUTS[size]
    margin = layout.margins[generator.randrange(len(layout.margins))]
    for _ in range(MOST_STARTS):
        drawing = _Drawing(size, layout, margin, generator)
        if drawing.long_curves():
            return drawing.finished()
    raise InputError(f"{seed}: the two curves found no room in {MOST_STARTS} tries; give another size")


class _Drawing:
    """A picture while it is drawn: the curves so far, and how many steps take each cell.

    Cells have `reach` taken cells around them on all sides, so that nothing that is looked up lies outside.
    """

    def __init__(self, size: int, layout: Layout, margin: int, generator: Random) -> None:
        self.size, self.layout, self.generator = size, layout, generator
        self.steps = _steps(size, layout.dash, margin, layout.thickness)
        self.taken: NDArray[np.uint8] = np.ones((self.steps.width, self.steps.width), dtype=np.uint8)
        free = self.steps.reach + CELLS  # one pixel of padding
        self.taken[free:-free, free:-free] = 0
        self.curves: list[Curve] = []

    def long_curves(self) -> bool:
        """Draw the two long curves, a dash of each in turn; whether there was room."""
        first = self._start(2 * self.layout.apart)
        away = _vector(self.generator.randrange(360), self.layout.apart * CELLS)
        trails = [_Trail(self, *first), _Trail(self, _moved(first[0], away), self._direction())]
        for _ in range(DASHES):
            if not all(trail.extend() for trail in trails):
                return False
        self.curves += [trail.curve for trail in trails]
        return True

    def finished(self) -> Picture:
        """Add short curves and discs."""
        for _ in range(self.layout.distractors):
            for _ in range(DISTRACTOR_DRAWS):
                if self._short_curve():
                    break
        begun, connected = self.generator.randrange(2), bool(self.generator.randrange(2))
        ended = begun if connected else 1 - begun
        discs = self.curves[begun].ends[0], self.curves[ended].ends[1]
        return Picture(self._pixels(discs), tuple(self.curves), discs, connected)

    def _short_curve(self) -> bool:
        before = self.taken.copy()
        for _ in range(SEED_DRAWS):
            trail = _Trail(self, *self._start(0))
            if trail.extend():
                break
        else:
            return False
        for _ in range(DISTRACTING_DASHES - 1):
            if not trail.extend():
                self.taken = before
                return False
        self.curves.append(trail.curve)
        return True

    def _start(self, border: int) -> tuple[Cell, int]:
        """Draw a cell at least `border` pixels from the sides, and a direction."""
        low, high = border * CELLS, (self.size - border) * CELLS
        return (self.generator.randrange(low, high), self.generator.randrange(low, high)), self._direction()

    def _direction(self) -> int:
        return self.generator.randrange(0, 360, TURN)

    def _pixels(self, discs: tuple[Cell, Cell]) -> NDArray[np.int64]:
        at = self.steps.reach
        white = np.zeros(self.taken.shape, dtype=bool)
        strokes = [(dash, 3 * self.layout.thickness) for curve in self.curves for dash in curve.dashes]
        for (first, last), radius in [*strokes, *(((disc, disc), 6 * self.layout.radius) for disc in discs)]:
            rows, columns = _near((last[0] - first[0], last[1] - first[1]), radius).T
            white[rows + first[0] + at, columns + first[1] + at] = True
        return white[at:-at, at:-at].reshape(self.size, CELLS, self.size, CELLS).sum((1, 3))


class _Trail:
    """A curve while it is drawn; a step may be near the one before it, and no other."""

    def __init__(self, drawing: _Drawing, place: Cell, direction: int) -> None:
        self.drawing, self.place, self.direction = drawing, place, direction
        self.dashes: list[tuple[Cell, Cell]] = []
        self.last: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def extend(self) -> bool:
        """Draw a dash: the first one in the curve's direction, others rather straight on; whether there was room."""
        drawing, steps = self.drawing, self.drawing.steps
        turns, weights = (
            _turns(drawing.layout.continuity)
            if self.dashes
            else (np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64))
        )
        if not all(0 <= each < drawing.size * CELLS for each in self.place):
            return False
        directions = (self.direction // TURN + turns) % len(steps.first)
        here, taken = steps.offset(self.place), drawing.taken.reshape(-1)
        taken[self.last] -= 1
        free = ~taken[steps.lines[directions] + here].any(1)
        taken[self.last] += 1
        upto = np.cumsum(np.where(free, weights, 0))
        if not upto[-1]:
            return False
        drawn = drawing.generator.randrange(int(upto[-1]))
        number = int(directions[np.searchsorted(upto, drawn, side="right")])
        self.last = steps.around[number] + here
        taken[self.last] += 1
        self.dashes.append((_moved(self.place, steps.first[number]), _moved(self.place, steps.last[number])))
        self.place, self.direction = _moved(self.place, steps.next[number]), number * TURN
        return True

    @property
    def curve(self) -> Curve:
        """The dashes so far."""
        return Curve(tuple(self.dashes))


@dataclass(frozen=True, eq=False)
class _Steps:
    """A dash and the halves of the gaps before and after it, in every direction.

    Arguments:
        first, last: cells of the dash, from where the step begins.
        next: where the next step begins.
        lines: all cells of a step, as places in a drawing; the last one is repeated.
        around: all cells that are too near for another curve, in the same form.
        reach: the most rows or columns that any of them is away.
        width: cells of a side of the drawing.
    """

    first: tuple[Cell, ...]
    last: tuple[Cell, ...]
    next: tuple[Cell, ...]
    lines: Int64[np.ndarray, "directions cells"]
    around: tuple[NDArray[np.int64], ...]
    reach: int
    width: int

    def offset(self, cell: Cell) -> int:
        """Return the place of a cell in a drawing that is laid out as one row."""
        return (cell[0] + self.reach) * self.width + cell[1] + self.reach


@remember(8)
def _steps(size: int, dash: int, margin: int, thickness: int) -> _Steps:
    """Return the steps in all directions."""
    whole, clear = dash + 2 * margin, 24 * margin + 6 * thickness
    reach = whole * CELLS + clear // 4 + 2
    width = size * CELLS + 2 * reach

    def vectors(length: int) -> tuple[Cell, ...]:
        return tuple(_vector(degree, length * CELLS) for degree in range(0, 360, TURN))

    def cells(quarters: int) -> list[NDArray[np.int64]]:
        return [_near(vector, quarters) @ np.array([width, 1]) for vector in vectors(whole)]

    lines = cells(3)
    longest = max(map(len, lines))
    padded = np.stack([np.pad(line, (0, longest - len(line)), mode="edge") for line in lines])
    around = tuple(cells(clear))
    return _Steps(vectors(margin), vectors(margin + dash), vectors(whole), padded, around, reach, width)


@remember(8)
def _turns(continuity: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the turns that a curve may take, in steps of `TURN`, and the weight of each."""
    angles = {turn: abs(turn) * TURN * continuity // 10 for turn in range(-90 // TURN, 90 // TURN + 1)}
    found = {turn: COSINES[angle] ** 2 for turn, angle in angles.items() if angle < 90}
    return np.array(list(found), dtype=np.int64), np.array(list(found.values()), dtype=np.int64)


@remember(4096)
def _near(last: Cell, quarters: int) -> NDArray[np.int64]:
    """Return the cells within `quarters` / 4 of the line from (0, 0) to `last`, one per row, in whole numbers.

    16 · distance² = 16 · |p − t · last / n|²  with  n = |last|²,  t = p · last, kept in 0 … n
    """
    around = isqrt(quarters * quarters // 16) + 1
    sides = [np.arange(min(0, each) - around, max(0, each) + around + 1, dtype=np.int64) for each in last]
    rows, columns = (side.reshape(-1) for side in np.meshgrid(*sides, indexing="ij"))
    squared = max(1, last[0] ** 2 + last[1] ** 2)
    along = rows * last[0] + columns * last[1]
    kept = np.clip(along, 0, squared if any(last) else 0)
    distance = (rows**2 + columns**2) * squared - 2 * kept * along + kept**2
    inside = 16 * distance <= quarters**2 * squared
    return np.stack([rows[inside], columns[inside]], 1)


def _vector(degree: int, length: int) -> Cell:
    """Return the cell that is nearest to `length` cells in a direction."""
    return _scaled(COSINES[(degree - 90) % 360], length), _scaled(COSINES[degree % 360], length)


def _scaled(cosine: int, length: int) -> int:
    return (cosine * length + UNIT // 2) // UNIT


def _moved(cell: Cell, by: Cell) -> Cell:
    return cell[0] + by[0], cell[1] + by[1]
