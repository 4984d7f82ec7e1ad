"""The FFT is numpy's convolution, cut to the text: nothing wraps around."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from longspan.compute.recurrence.convolution import causal_convolution


@given(tokens=st.integers(1, 50), seed=st.integers(0, 2**31))
def test_is_numpys(tokens: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, kernel = generator.normal(size=(2, tokens, 3)), generator.normal(size=(tokens, 3))
    found = causal_convolution(torch.from_numpy(x), torch.from_numpy(kernel))
    wanted = [[np.convolve(row[:, c], kernel[:, c])[:tokens] for c in range(3)] for row in x]
    np.testing.assert_allclose(found.mT.numpy(), wanted, rtol=1e-12, atol=1e-12)
