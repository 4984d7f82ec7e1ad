"""Outside source: the block of the authors' code (GAU, then add, then norm), written out around `gau`."""

import numpy as np
import pytest
import torch

from longspan.compute.mix import mix
from longspan.errors import SchemeError
from longspan.mixers.gau_alpha import GAUAlpha
from mixers.by_formula import drawn, mixed, text
from mixers.test_gau import written_out


def normed(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True))


@pytest.mark.parametrize("causal", [True, False])
def test_the_layer_around_it_leaves_the_authors_block(causal: bool) -> None:
    weights, x = drawn(GAUAlpha()), text(tokens=20)
    found = x + mix(x, GAUAlpha(), weights, causal=causal)[0]
    unit = written_out(x, weights | {"offsets": torch.zeros(2, 4).double()}, plus=True, causal=causal)
    np.testing.assert_allclose(found.numpy(), normed((x + unit).numpy()), rtol=1e-9, atol=1e-9)


def test_a_norm_before_it_changes_nothing_of_what_a_block_has_left() -> None:
    """Blocks in layers that norm their input and add it are blocks one after the other, as the model has them."""
    first, second, x = drawn(GAUAlpha()), drawn(GAUAlpha(), seed=5), torch.from_numpy(normed(text().numpy()))
    stream = x
    for weights in (first, second):
        stream = stream + mixed(torch.from_numpy(normed(stream.numpy())), GAUAlpha(), weights)
    wanted = x
    for weights in (first, second):
        unit = written_out(wanted, weights | {"offsets": torch.zeros(2, 4).double()}, plus=True)
        wanted = torch.from_numpy(normed((wanted + unit).numpy()))
    torch.testing.assert_close(stream, wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose((stream**2).mean(-1).numpy(), 1.0, rtol=1e-10)


def test_no_width_is_refused() -> None:
    with pytest.raises(SchemeError, match="gau_alpha: expansion must be at least 1, got 0"):
        GAUAlpha(expansion=0)
