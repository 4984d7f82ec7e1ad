"""Against scipy's labels and against what must hold of each shape; what a count of pixels says is little."""

import hashlib

import numpy as np
import pytest
from scipy import ndimage

from longspan.errors import InputError
from longspan.prompts.filler import Amount
from longspan.prompts.task import Request
from longspan.tasks.shapes import ANSWERS, PIXELS, SHAPES, Shapes, counts, picture

PINNED = "cd0fc3bb5303ee67584f7113e9bf9f2f9ee9595b0628cbc99b328585f4b39d84"
"""SHA-256 of the pixels of the first three pictures; a change of one is a new task."""


def mask(name: str, size: int) -> np.ndarray:
    row, column = np.mgrid[-20:21, -20:21]
    return SHAPES[name](row, column, size)


def pieces(drawn: np.ndarray) -> int:
    return int(ndimage.label(drawn)[1])  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize("size", [6, 9, 14])
def test_shapes_are_what_their_names_say(size: int) -> None:
    """By pieces, holes and symmetries."""
    holes = {name: pieces(~mask(name, size)) - 1 for name in ANSWERS}
    assert {name for name, number in holes.items() if number == 1} == {"frame", "ring"}
    several = {name for name in ANSWERS if pieces(mask(name, size)) > 1}
    assert several == {"bars", "stripes"}
    turned = {name for name in ANSWERS if not np.array_equal(mask(name, size), np.rot90(mask(name, size)))}
    assert turned == {"bars", "stripes", "triangle"}
    np.testing.assert_array_equal(mask("bars", size), mask("stripes", size).T)
    for first in ANSWERS:
        assert all(not np.array_equal(mask(first, size), mask(other, size)) for other in ANSWERS if other != first)


def test_a_picture_is_a_shape_and_noise_of_one_level() -> None:
    found = set()
    for seed in range(60):
        name, drawn = picture(32, f"shapes/{seed}")
        found.add(name)
        assert drawn.min() >= 0
        assert drawn.max() <= 9
        levels = [ndimage.median_filter(drawn, 3).min(), ndimage.median_filter(drawn, 3).max()]
        assert levels[1] - levels[0] >= 2
    assert found == set(ANSWERS)


def test_counting_pixels_says_little() -> None:
    """Every shape comes near to any number of pixels that is drawn."""
    for name in ANSWERS:
        for wanted in range(*PIXELS):
            nearest = min(abs(counts()[name, size] - wanted) for size in range(3, 16))
            assert nearest < 0.35 * wanted


def test_zeros_after_the_picture_change_no_answer() -> None:
    request = Request("shapes/1", 0, "", "")
    plain, longer = Shapes().draft(request, Amount()), Shapes().draft(request, Amount(units=7))
    assert plain is not None
    assert longer is not None
    assert longer.answers == plain.answers
    assert longer.prompt.context == (*plain.prompt.context, *["0 "] * 7)
    assert len(plain.prompt.context) == 1024


def test_every_machine_draws_the_same() -> None:
    pixels = b"".join(picture(32, str(seed))[1].astype(np.uint8).tobytes() for seed in range(3))
    assert hashlib.sha256(pixels).hexdigest() == PINNED


def test_a_picture_without_room_is_refused() -> None:
    with pytest.raises(InputError, match="side must be 32 … 512, got 16"):
        Shapes(side=16)
