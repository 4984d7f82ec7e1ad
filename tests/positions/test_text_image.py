"""RoPE-Tie's coordinates: the article's conditions, solved by hand for small images."""

import pytest
import torch

from longspan.errors import ShapeError
from longspan.positions.text_image import Image, text_image


def test_an_image_of_two_rows_and_three_columns_after_ten_tokens() -> None:
    places = text_image([10, Image(rows=2, columns=3), 2])[0].tolist()
    assert places[9] == [10, 10]
    assert places[10:16] == [[x, y] for x in (14, 18) for y in (13, 16, 19)]
    assert places[16:] == [[22, 22], [23, 23]]


@pytest.mark.parametrize("image", [Image(1, 1), Image(2, 3), Image(5, 2), Image(4, 4)])
def test_the_step_into_an_image_is_the_step_out_of_it(image: Image) -> None:
    places = text_image([4, image, 3, image, 1])[0]
    patches = image.rows * image.columns
    step = torch.tensor([image.columns + 1, image.rows + 1])
    for last_text in (3, 4 + patches + 2):
        assert torch.equal(places[last_text + 1] - places[last_text], step)
        assert torch.equal(places[last_text + patches + 1] - places[last_text + patches], step)


def test_one_patch() -> None:
    assert text_image([3, Image(1, 1), 1])[0].tolist() == [[1, 1], [2, 2], [3, 3], [5, 5], [7, 7]]


def test_text_alone_is_one_axis() -> None:
    assert text_image([3, 2])[0].tolist() == [[n, n] for n in range(1, 6)]


def test_a_transposed_image_swaps_the_axes() -> None:
    wide, high = text_image([2, Image(2, 3), 1])[0], text_image([2, Image(3, 2), 1])[0]
    assert {tuple(place) for place in wide.tolist()} == {(y, x) for x, y in high.tolist()}


@pytest.mark.parametrize("pieces", [[], [0], [2, Image(0, 3)]])
def test_nothing_is_refused(pieces: list[int | Image]) -> None:
    with pytest.raises(ShapeError, match="at least"):
        text_image(pieces)
