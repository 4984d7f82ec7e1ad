"""STRING is the authors' two passes: far queries rotated at p − S + W, keys where they are."""

import numpy as np
import pytest
import torch

from by_hand import BACKENDS, drawn, output, scores, tensors
from longspan import Geometry, attend, parse
from longspan.distance.string import STRING
from longspan.errors import SchemeError

PLACES = 24


def two_passes(q: np.ndarray, k: np.ndarray, offset: int, local: int) -> np.ndarray:
    place = np.arange(len(q))
    near, far = scores(q, k, place, place), scores(q, k, place - offset + local, place)
    both = np.where(place[:, None] - place < offset, near, far)
    return np.where(place[:, None] >= place, both, -np.inf)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("offset", "local"), [(1, 0), (8, 3), (8, 8), (23, 5), (24, 2)])
def test_attention_is_the_two_pass_form(backend: str, offset: int, local: int) -> None:
    q, k, v = drawn(PLACES)
    out = attend(*tensors(q, k, v), parse(f"string(offset={offset}, local={local})"), backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, output(two_passes(q, k, offset, local), v), rtol=0, atol=1e-13)


def test_frequent_distances_stand_in_for_rare_ones() -> None:
    """Nine tokens, S = 6 and W = 1: distances 6, 7, 8 are read as 1, 2, 3."""
    distances = STRING(6, 1)(torch.tensor(8), torch.arange(9))
    assert distances.tolist() == [3, 2, 1, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("text", ["string(offset=8, local=8)", "string(offset=24, local=2)"])
def test_neutral_is_rope(text: str) -> None:
    q, k, v = tensors(*drawn(PLACES))
    neutral = attend(q, k, v, text)
    torch.testing.assert_close(neutral, attend(q, k, v, "rope"), rtol=0, atol=1e-14)
    assert parse(text).distance.changes_nothing(PLACES)
    assert not parse("string(offset=23, local=2)").distance.changes_nothing(PLACES)


def test_numbers_of_the_authors() -> None:
    """int(0.33 L) and 128 at L = 131072 (Llama 3.1)."""
    assert STRING().fill(Geometry(4, 4, 64, 131072), 131072) == STRING(43253, 128)
    assert STRING().fill(Geometry(4, 4, 64, 256), 256) == STRING(84, 42)
    with pytest.raises(SchemeError, match="at most offset = 4"):
        STRING(4, 5)
