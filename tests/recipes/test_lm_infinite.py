"""LM-Infinite: a Λ-shaped mask, and no distance above the trained length."""

import numpy as np
import pytest
import torch

from by_hand import BACKENDS, drawn, output, scores, tensors
from longspan import Geometry, attend, parse
from longspan.errors import SchemeError

PLACES = 40


@pytest.mark.parametrize("backend", BACKENDS)
def test_attention_is_window_and_capped_sinks(backend: str) -> None:
    """As the authors have it: sinks beyond the window get the query rotated to L and keys that do not rotate."""
    q, k, v = drawn(PLACES)
    place = np.arange(PLACES)
    r = place[:, None] - place
    far = scores(q, k, np.full(PLACES, 12), np.zeros(PLACES))
    score = np.where(r < 12, scores(q, k, place, place), far)
    keep = (r >= 0) & ((r < 12) | (place < 3))
    out = attend(*tensors(q, k, v), "lm_infinite(12, 3)", backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, output(score, v, keep), rtol=0, atol=1e-13)


def test_the_largest_distance_is_the_trained_length() -> None:
    scheme = parse("lm_infinite", Geometry(8, 8, 16, trained_length=16), 1000)
    i, j = (torch.from_numpy(x) for x in np.indices((100, 100)))
    seen = scheme.mask(i, j, causal=True)
    assert scheme.distance(i, j)[seen].max() == 16
    assert scheme.mask.sinks == 10


def test_a_short_text_is_read_as_ever() -> None:
    q, k, v = tensors(*drawn(12))
    assert torch.equal(
        attend(q, k, v, "lm_infinite(12)", backend="reference"), attend(q, k, v, "rope", backend="reference")
    )


def test_window_must_be_known() -> None:
    with pytest.raises(SchemeError, match="lm_infinite needs window"):
        parse("lm_infinite")
