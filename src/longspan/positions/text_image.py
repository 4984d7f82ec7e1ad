"""Text and images in one sequence (RoPE-Tie): positions on two axes, and the same step into an image as out of it.

    text token n          (n, n)                                       n counts from 1
    patch (x, y)          (L + (w + 1) · x, L + (h + 1) · y)           x = 1 … h,  y = 1 … w
    next text token       L + (w + 1)(h + 1) on both axes              L: the last text token before the image

Source: Su 2024, "Transformer upgrade road 17: simple thoughts on multimodal position encoding",
kexue.fm/archives/10040. Its author later found it not very ideal (kexue.fm/archives/10352) and proposed `text_vision`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from longspan.errors import ShapeError


class Image(NamedTuple):
    """An image of h rows and w columns of patches, read row by row."""

    rows: int
    columns: int


def text_image(pieces: Sequence[int | Image]) -> Int64[Tensor, "1 tokens 2"]:
    """Positions on two axes of a sequence of texts and images; text alone is ordinary one-axis text.

    Arguments:
        pieces: in reading order, a number of text tokens or an `Image`. The markers around an image are text.

    >>> text_image([2, Image(rows=1, columns=2), 1]).tolist()
    [[[1, 1], [2, 2], [5, 4], [5, 6], [8, 8]]]

    Errors: ShapeError for an empty sequence or a piece without tokens.
    """
    return in_reading_order(pieces, _stretched)


def in_reading_order(
    pieces: Sequence[int | Image], patches: Callable[[Image], tuple[Shaped[Tensor, "patches 2"], int]]
) -> Shaped[Tensor, "1 tokens 2"]:
    """Positions of a sequence whose text token n is at (n, n).

    Arguments:
        patches: of one image, its positions beyond the last text position, and by how much the text moves on.

    Errors: ShapeError for an empty sequence or a piece without tokens.
    """
    if not pieces:
        raise ShapeError("a sequence needs at least one text or image, got none")
    last, parts = 0, []
    for piece in pieces:
        if min(piece if isinstance(piece, tuple) else (piece,)) < 1:
            raise ShapeError(f"a text and each side of an image must be at least 1, got {piece}")
        positions, moved = patches(piece) if isinstance(piece, Image) else _text(piece)
        parts.append(last + positions)
        last += moved
    return torch.cat(parts)[None]


def _text(count: int) -> tuple[Int64[Tensor, "count 2"], int]:
    return torch.arange(1, count + 1)[:, None].expand(-1, 2), count


def _stretched(image: Image) -> tuple[Int64[Tensor, "patches 2"], int]:
    x = torch.arange(1, image.rows + 1) * (image.columns + 1)
    y = torch.arange(1, image.columns + 1) * (image.rows + 1)
    # The next text token, one further, completes the step out of the image.
    return torch.cartesian_prod(x, y), (image.rows + 1) * (image.columns + 1) - 1
