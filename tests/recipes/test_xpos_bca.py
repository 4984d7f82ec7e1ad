"""xPos with blockwise attention: scores fade by hand-computed powers, over the half-blocks that the paper draws."""

import numpy as np
import pytest

from by_hand import BACKENDS, angles, drawn, output, pairs, tensors
from longspan import Geometry, attend, parse


def test_parts() -> None:
    assert parse("xpos_bca(64, 128)") == parse("xpos(scale_base=128) + blockwise(64)")
    geometry = Geometry(8, 8, 16, trained_length=64)
    assert parse("xpos_bca", geometry, 1024) == parse("xpos + blockwise(64)", geometry, 1024)


@pytest.mark.parametrize("backend", BACKENDS)
def test_attention_is_written_out(backend: str) -> None:
    """Pair i turns and shrinks to ((2i/d + 0.4) / 1.4) per 20 tokens of distance."""
    q, k, v = drawn(30)
    place = np.arange(30)
    r = (place[:, None] - place)[..., None]
    half = place // 4
    keep = (r[..., 0] >= 0) & (half[:, None] - half <= 1)
    fade = (2 * np.arange(8) / 16 + 0.4) / 1.4
    rotated = pairs(q)[:, None] * pairs(k).conj()[None] * np.exp(1j * r * angles(16)) * fade ** (np.maximum(r, 0) / 20)
    score = np.real(rotated.sum(-1)) / 4
    out = attend(*tensors(q, k, v), "xpos_bca(8, scale_base=20)", backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, output(score, v, keep), rtol=0, atol=1e-13)
