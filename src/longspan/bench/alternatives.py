"""What the same attention costs in other ways: dense matrices, masks written out, FlexAttention."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from longspan.bench.attention import HEAD_DIM, HEADS, Row, prefill_calls, timed
from longspan.compute.places import contiguous
from longspan.compute.rotate import rotate
from longspan.notation import parse

WINDOW = 1024


def alternatives(length: int, dtype: torch.dtype, rounds: int, progress: Callable[[str], None] = print) -> list[Row]:
    """Measure each alternative beside our own call of the same meaning, forward, as ratios to plain attention."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, HEADS, length, HEAD_DIM, generator=generator).to(dtype) for _ in range(3))
    spectrum = parse("rope").rotation.spectrum(HEAD_DIM)
    where = contiguous(length).coordinate
    order = torch.arange(length)

    def rotated() -> tuple[Tensor, Tensor]:
        return rotate(query, where, spectrum), rotate(key, where, spectrum)

    def dense_rerope() -> None:
        """Choose between two score matrices, as the published patches do."""
        near = torch.matmul(*_transposed(rotated()))
        far = rotate(query, torch.full_like(where, WINDOW), spectrum) @ key.mT
        relative = order[:, None] - order
        scores = torch.where(relative < WINDOW, near, far) * HEAD_DIM**-0.5
        _ = scores.masked_fill(relative < 0, -float("inf")).softmax(-1) @ value

    def masked() -> None:
        """Write out a window mask for PyTorch's own attention."""
        relative = order[:, None] - order
        scaled_dot_product_attention(*rotated(), value, attn_mask=(relative >= 0) & (relative < WINDOW))

    baseline, ours = prefill_calls(["rerope", "window"], length, dtype, backward=False)
    calls = {
        "rerope": ours["rerope"],
        "rerope, two dense matrices": dense_rerope,
        "window": ours["window"],
        "window, mask written out": masked,
        "window, FlexAttention": _flex(rotated, value),
    }
    return timed(baseline, calls, "forward", length, dtype, rounds, progress)


def _transposed(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return pair[0], pair[1].mT


def _flex(rotated: Callable[[], tuple[Tensor, Tensor]], value: Tensor) -> Callable[[], None]:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    length = value.shape[2]

    def seen(_batch, _head, query, key):
        return (query >= key) & (query - key < WINDOW)

    block_mask = create_block_mask(seen, None, None, length, length, device="cpu")
    compiled = torch.compile(flex_attention)

    def call() -> None:
        with torch.no_grad():
            compiled(*rotated(), value, block_mask=block_mask)

    return call
