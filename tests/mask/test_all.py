"""No locality: the direction alone decides."""

import numpy as np
import pytest

from longspan.mask.all import All
from mask.by_pairs import counts, matrix


@pytest.mark.parametrize("sinks", [0, 3])
def test_every_pair_that_the_direction_allows(sinks: int) -> None:
    assert (matrix(All(sinks=sinks), 9, causal=True) == np.tri(9, dtype=bool)).all()
    assert matrix(All(sinks=sinks), 9, causal=False).all()
    assert counts(All(sinks=sinks), 9, causal=True) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert counts(All(sinks=sinks), 9, causal=False) == 9 * [9]
