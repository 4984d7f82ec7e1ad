"""ReRoPE is the article's two score matrices and their selection."""

import numpy as np
import pytest
import torch

from by_hand import BACKENDS, drawn, output, scores, tensors
from longspan import Geometry, attend, parse
from longspan.distance.rerope import ReRoPE
from longspan.errors import SchemeError

PLACES = 24


def two_passes(q: np.ndarray, k: np.ndarray, window: int) -> np.ndarray:
    """As the author's code has it: rotate by position; rotate queries by the window alone; choose by |m − n| < w."""
    place = np.arange(len(q))
    near = scores(q, k, place, place)
    far = scores(q, k, np.full(len(q), window), np.zeros(len(q)))
    return np.where(abs(place[:, None] - place) < window, near, far)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("window", [1, 5, 23, 24])
def test_attention_is_the_two_pass_form(backend: str, window: int) -> None:
    q, k, v = drawn(PLACES)
    out = attend(*tensors(q, k, v), parse(f"rerope({window})"), backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, output(two_passes(q, k, window), v), rtol=0, atol=1e-13)


def test_distance_matrix() -> None:
    i, j = np.indices((9, 9))
    wanted = [[np.sign(m - n) * min(abs(m - n), 4) for n in range(9)] for m in range(9)]
    assert ReRoPE(4)(torch.from_numpy(i), torch.from_numpy(j)).tolist() == wanted


def test_a_window_over_the_text_is_rope_to_the_bit() -> None:
    q, k, v = tensors(*drawn(PLACES))
    assert torch.equal(
        attend(q, k, v, f"rerope({PLACES - 1})", backend="reference"), attend(q, k, v, "rope", backend="reference")
    )
    assert ReRoPE(PLACES - 1).changes_nothing(PLACES)
    assert not ReRoPE(PLACES - 2).changes_nothing(PLACES)


def test_no_window_is_nope() -> None:
    q, k, v = tensors(*drawn(PLACES))
    torch.testing.assert_close(attend(q, k, v, "rerope(0)"), attend(q, k, v, "nope"), rtol=0, atol=1e-13)


def test_fill_takes_a_quarter_of_the_trained_length() -> None:
    geometry = Geometry(8, 8, 16, trained_length=4096)
    assert ReRoPE().fill(geometry, 16384) == ReRoPE(1024)
    assert ReRoPE(7).fill(geometry, 16384) == ReRoPE(7)


def test_negative_window_is_refused() -> None:
    with pytest.raises(SchemeError, match="rerope: window must be at least 0, got -1"):
        ReRoPE(-1)
