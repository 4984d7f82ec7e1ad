"""Text and images in one sequence (RoPE-Tie): two coordinates per token, and the same step into an image as out of it.

    text token n          (n, n)                                       n counts from 1
    patch (x, y)          (L + (w + 1) · x, L + (h + 1) · y)           x = 1 … h,  y = 1 … w
    next text token       L + (w + 1)(h + 1) on both axes              L: the last text token before the image

Source: Su 2024, "Transformer upgrade road 17: simple thoughts on multimodal position encoding",
kexue.fm/archives/10040.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from longspan.errors import ShapeError


class Image(NamedTuple):
    """An image of h rows and w columns of patches, read row by row."""

    rows: int
    columns: int


def text_image(pieces: Sequence[int | Image]) -> Int64[Tensor, "1 places 2"]:
    """Coordinates on two axes of a sequence of texts and images; text alone is ordinary one-axis text.

    Arguments:
        pieces: in reading order, a number of text tokens or an `Image`. The markers around an image are text.

    >>> text_image([2, Image(rows=1, columns=2), 1]).tolist()
    [[[1, 1], [2, 2], [5, 4], [5, 6], [8, 8]]]

    Errors: ShapeError for an empty sequence or a piece without tokens.
    """
    if not pieces:
        raise ShapeError("text_image needs at least one text or image, got none")
    last, parts = 0, []
    for piece in pieces:
        if min(piece if isinstance(piece, tuple) else (piece,)) < 1:
            raise ShapeError(f"text_image: every text and every side of an image must be at least 1, got {piece}")
        if isinstance(piece, Image):
            x = torch.arange(1, piece.rows + 1) * (piece.columns + 1)
            y = torch.arange(1, piece.columns + 1) * (piece.rows + 1)
            parts.append(last + torch.cartesian_prod(x, y))
            # The next text token, one further, completes the step out of the image.
            last += (piece.rows + 1) * (piece.columns + 1) - 1
        else:
            parts.append((last + torch.arange(1, piece + 1))[:, None].expand(-1, 2))
            last += piece
    return torch.cat(parts)[None]
