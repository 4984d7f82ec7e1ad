"""RoPE-Tie-v2's coordinates: the article's three principles, and numbers solved by hand from its equations."""

from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from by_hand import drawn, tensors
from longspan import attend
from longspan.errors import ShapeError
from longspan.positions.text_image import Image
from longspan.positions.text_vision import text_vision

SIDES = st.integers(1, 6)
IMAGES = st.builds(Image, SIDES, SIDES)


def test_an_image_of_two_rows_and_three_columns_after_ten_tokens() -> None:
    """β = (10 + (6 − 2)/2, 10 + (6 − 3)/2) = (12, 11.5), and six patches are six tokens."""
    places = text_vision([10, Image(rows=2, columns=3), 2])[0].tolist()
    assert places[9] == [10, 10]
    assert places[10:16] == [[x, y] for x in (13, 14) for y in (12.5, 13.5, 14.5)]
    assert places[16:] == [[17, 17], [18, 18]]


@pytest.mark.parametrize(
    ("image", "gap"), [(Image(1, 1), (1, 1)), (Image(128, 128), (8129, 8129)), (Image(64, 128), (4065, 4033))]
)
def test_gap_between_text_and_image(image: Image, gap: tuple[int, int]) -> None:
    """Half of (wh − h, wh − w), and one, for the article's whole image and the upper half of it."""
    places = text_vision([3, image, 1])[0]
    assert (places[3] - places[2]).tolist() == list(gap)


@given(texts=st.lists(st.integers(1, 5), min_size=2, max_size=4), data=st.data())
def test_a_text_token_is_at_its_index_and_an_image_in_the_middle_of_its_gap(
    texts: list[int], data: st.DataObject
) -> None:
    """The article's compatibility (text at (n, n)), equivalence (at its index), symmetry (equal steps in and out)."""
    images = data.draw(st.lists(IMAGES, min_size=len(texts) - 1, max_size=len(texts) - 1))
    pieces = [texts[0], *chain.from_iterable(zip(images, texts[1:], strict=True))]
    places, last = text_vision(pieces)[0], 0
    for piece in pieces:
        count = piece.rows * piece.columns if isinstance(piece, Image) else piece
        index = torch.arange(last + 1, last + count + 1, dtype=torch.float64)
        inside = places[last : last + count]
        if isinstance(piece, Image):
            before, after = places[last - 1], places[last + count]
            assert torch.equal(inside[0] - before, after - inside[-1])
            rows, columns = inside.view(piece.rows, piece.columns, 2).unbind(-1)
            assert (rows.diff(dim=0) == 1).all()
            assert (rows.diff(dim=1) == 0).all()
            assert (columns.diff(dim=1) == 1).all()
            assert (columns.diff(dim=0) == 0).all()
        else:
            assert torch.equal(inside, index[:, None].expand(-1, 2))
        last += count
    assert last == len(places)


def test_text_alone_is_rope() -> None:
    q, k, v = tensors(*drawn(9))
    places = text_vision([4, 5])
    rotated = attend(q, k, v, "axial(split=interleaved)", key_positions=places, query_positions=places)
    torch.testing.assert_close(rotated, attend(q, k, v, "rope"), rtol=0, atol=1e-14)


def test_attention_takes_halves_as_they_are() -> None:
    """Shifted by one half nothing changes; rounded down, distances change."""
    q, k, v = tensors(*drawn(8))
    places = text_vision([1, Image(2, 3), 1])
    plain, shifted, rounded = (
        attend(q, k, v, "axial", key_positions=each, query_positions=each)
        for each in (places, places + 0.5, places.floor())
    )
    torch.testing.assert_close(shifted, plain, rtol=0, atol=1e-14)
    assert (rounded - plain).abs().max() > 1e-3


@pytest.mark.parametrize("pieces", [[], [0], [2, Image(0, 3)]])
def test_nothing_is_refused(pieces: list[int | Image]) -> None:
    with pytest.raises(ShapeError, match="at least"):
        text_vision(pieces)
