"""Text and images in one sequence (RoPE-Tie-v2, RoPE-TV): an image is as long as the text of as many tokens.

    text token n          (n, n)                                             n counts from 1
    patch (x, y)          (L + (w h − h) / 2 + x, L + (w h − w) / 2 + y)     x = 1 … h,  y = 1 … w
    next text token       L + w h + 1 on both axes                           L: the last text token before the image

So every text token is at its index in the sequence, patches are one apart whatever the size of their image, and the
step into an image is the step out of it.

Source: Su 2024, "Multimodal ideas behind closed doors, part 3: position encoding", kexue.fm/archives/10352.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.positions.text_image import Image, in_reading_order


def text_vision(pieces: Sequence[int | Image]) -> Float64[Tensor, "1 tokens 2"]:
    """Positions on two axes of a sequence of texts and images; some images are at halves between whole numbers.

    Rotate by `axial(split=interleaved)`: text alone is then ordinary RoPE.

    Arguments:
        pieces: in reading order, a number of text tokens or an `Image`. The markers around an image are text.

    >>> text_vision([2, Image(rows=1, columns=2), 1]).tolist()
    [[[1.0, 1.0], [2.0, 2.0], [3.5, 3.0], [3.5, 4.0], [5.0, 5.0]]]

    Errors: ShapeError for an empty sequence or a piece without tokens.
    """
    return in_reading_order(pieces, _centered).double()


def _centered(image: Image) -> tuple[Float64[Tensor, "patches 2"], int]:
    count = image.rows * image.columns

    def along(side: int) -> Float64[Tensor, " side"]:
        return (count - side) / 2 + torch.arange(1, side + 1, dtype=torch.float64)

    return torch.cartesian_prod(along(image.rows), along(image.columns)), count
