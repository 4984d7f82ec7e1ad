import hashlib
from itertools import pairwise
from math import atan2, cos, hypot, pi
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from longspan.errors import InputError
from longspan.prompts.filler import Amount
from longspan.prompts.task import Request
from longspan.tasks.pathfinder import CELLS, COSINES, LAYOUTS, UNIT, Curve, Pathfinder, Picture, picture

PINNED = {
    32: "dd55103ec30be533e11786a871b7065464cbb604796cb92e9c4659842a9d9da0",
    64: "12401b49aee5f44966379828d000fef3b6983947b629be3bc5f429a16b0611c0",
    128: "a865bd42c09419ad4eb78c5f72a852687f08267e50196eebd7af94a855a59830",
}
"""SHA-256 of the pixels of the first three pictures; a change of one is a new task."""

pictures = st.builds(picture, st.sampled_from(sorted(LAYOUTS)), st.integers(0, 10**6).map(str))


def closed(size: int, curves: tuple[Curve, ...]) -> np.ndarray:
    """The curves on the grid with their gaps closed."""
    drawn = np.zeros((size * CELLS, size * CELLS), dtype=bool)
    for curve in curves:
        corners = [np.array(cell) for dash in curve.dashes for cell in dash]
        for first, last in pairwise(corners):
            steps = int(np.abs(last - first).max())
            for step in range(steps + 1):
                row, column = np.rint(first + (last - first) * (step / max(1, steps))).astype(int)
                drawn[row, column] = True
    return drawn


def distance(point: tuple[float, float], first: tuple[float, float], last: tuple[float, float]) -> float:
    """From a point to a line, by the textbook."""
    (py, px), (fy, fx), (ly, lx) = point, first, last
    squared = (ly - fy) ** 2 + (lx - fx) ** 2
    along = 0.0 if squared == 0 else ((py - fy) * (ly - fy) + (px - fx) * (lx - fx)) / squared
    along = min(1.0, max(0.0, along))
    return hypot(py - fy - along * (ly - fy), px - fx - along * (lx - fx))


@settings(max_examples=20)
@given(pictures)
def test_the_discs_are_connected_where_a_flood_along_the_closed_curves_says_so(drawn: Picture) -> None:
    components = np.zeros((len(drawn.pixels) * CELLS,) * 2, dtype=np.int32)
    count = ndimage.label(closed(len(drawn.pixels), drawn.curves), np.ones((3, 3)), components)
    first, second = (int(components[disc]) for disc in drawn.discs)
    assert first > 0
    assert second > 0
    assert drawn.connected == (first == second)
    assert count == len(drawn.curves)  # no two curves meet, and none meets another by its gap


@settings(max_examples=20)
@given(pictures, st.randoms(use_true_random=False))
def test_a_pixel_is_the_share_of_it_that_is_covered(drawn: Picture, random: Random) -> None:
    layout, size = LAYOUTS[len(drawn.pixels)], len(drawn.pixels)
    strokes = [(dash, layout.thickness / 4 * CELLS) for curve in drawn.curves for dash in curve.dashes]
    strokes += [((disc, disc), layout.radius / 2 * CELLS) for disc in drawn.discs]
    row, column = random.randrange(size), random.randrange(size)
    if random.random() < 0.5:  # most pixels are black
        lit = np.argwhere(drawn.pixels)
        row, column = lit[random.randrange(len(lit))]
    cells = [(row * CELLS + i, column * CELLS + j) for i in range(CELLS) for j in range(CELLS)]
    covered = sum(any(distance(cell, *dash) <= radius + 1e-9 for dash, radius in strokes) for cell in cells)
    assert drawn.pixels[row, column] == covered


@settings(max_examples=20)
@given(pictures)
def test_curves_have_the_dashes_gaps_and_turns_of_their_layout(drawn: Picture) -> None:
    layout = LAYOUTS[len(drawn.pixels)]
    assert [len(curve.dashes) for curve in drawn.curves] == [14, 14, *[4] * (len(drawn.curves) - 2)]
    assert len(drawn.curves) <= 2 + layout.distractors
    firsts = [np.array(curve.ends[0]) for curve in drawn.curves[:2]]
    allowed = 2 * max(layout.margins) + 0.5  # both curves start a margin away from where they were laid
    assert abs(np.linalg.norm(firsts[0] - firsts[1]) / CELLS - layout.apart) <= allowed
    for curve in drawn.curves:
        angles = []
        for (y, x), (v, u) in curve.dashes:
            assert hypot(v - y, u - x) / CELLS == pytest.approx(layout.dash, abs=0.5)
            angles.append(atan2(v - y, u - x))
        for (_, (y, x)), ((v, u), _) in pairwise(curve.dashes):
            gap = hypot(v - y, u - x) / CELLS
            assert gap <= 2 * max(layout.margins) + 0.7
            assert gap >= 2 * min(layout.margins) * cos(pi / 4) - 0.7
        turns = [abs((b - a + pi) % (2 * pi) - pi) for a, b in pairwise(angles)]
        assert max(turns) <= pi / 2 * 10 / layout.continuity + 0.2


def test_both_answers_are_equally_frequent_and_both_curves_are_marked() -> None:
    drawn = [picture(32, f"balance/{i}") for i in range(400)]
    assert abs(sum(each.connected for each in drawn) - 200) <= 40  # four standard deviations
    for end in (0, 1):
        marked = sum(each.discs[end] == each.curves[0].ends[end] for each in drawn)
        assert abs(marked - 200) <= 40


@pytest.mark.parametrize("size", LAYOUTS)
def test_pictures_are_the_same_on_every_machine(size: int) -> None:
    found = hashlib.sha256()
    for seed in ("pathfinder/0", "pathfinder/1", "pathfinder/2"):
        drawn = picture(size, seed)
        found.update(drawn.pixels.astype(np.uint8).tobytes() + bytes([drawn.connected]))
    assert found.hexdigest() == PINNED[size]


def test_no_cosine_is_rounded_by_its_last_bits() -> None:
    assert COSINES[60] * 2 == UNIT
    for degree, cosine in enumerate(COSINES):
        assert abs(UNIT * cos(degree * pi / 180) - cosine) < 0.499


@settings(max_examples=20)
@given(st.sampled_from(sorted(LAYOUTS)), st.integers(0, 99), st.integers(1, 3000))
def test_black_pixels_after_the_picture_change_nothing_else(size: int, seed: int, more: int) -> None:
    request = Request(str(seed), 0, "", "")
    plain, longer = (Pathfinder(size).draft(request, Amount(units)) for units in (0, more))
    assert plain is not None
    assert longer is not None
    assert len(plain.prompt.context) == size * size
    assert "".join(plain.prompt.context).split() == [str(pixel) for pixel in picture(size, str(seed)).pixels.flat]
    assert longer.prompt.context == (*plain.prompt.context, *["0 "] * more)
    assert longer.answers == plain.answers == (("yes" if picture(size, str(seed)).connected else "no"),)


def test_a_size_without_layout_is_refused() -> None:
    with pytest.raises(InputError, match="size must be 32, 64 or 128, got 48"):
        Pathfinder(48)
