"""Outside source: the authors' layer written out in numpy, pair by pair (arXiv:2209.10655 and its code)."""

from math import pi
from typing import Literal

import numpy as np
import pytest
import torch
from scipy.special import erf, softmax

from longspan.compute.mix import mix
from longspan.errors import SchemeError
from longspan.mixers.mega import Mega, _function
from mixers.by_formula import drawn, mixed, text


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def silu(x: np.ndarray) -> np.ndarray:
    return x * sigmoid(x)


def by_hand(x: np.ndarray, own: dict[str, np.ndarray], attention: str, chunk: int) -> np.ndarray:
    tokens = len(x)
    alpha, delta = sigmoid(own["alpha"]), sigmoid(own["delta"])
    h, moved = np.zeros_like(alpha), np.zeros_like(x)
    for t in range(tokens):
        h = alpha * own["beta"] * x[t][:, None] + (1 - alpha * delta) * h
        moved[t] = silu((h * own["eta"]).sum(1) / alpha.shape[1] ** 0.5 + own["omega"] * x[t])
    z = silu(moved @ own["z"].T)
    query, key = (z * own["scale"][i] + own["shift"][i] for i in range(2))
    value, width = silu(x @ own["value"].T), z.shape[1]
    y = np.zeros_like(value)
    for i in range(tokens):
        start = i // chunk * chunk if chunk else 0
        seen = np.arange(start, i + 1)
        bias = np.array([relative_bias(own["bias"], i - start, j - start) for j in seen.tolist()])
        products = key[seen] @ query[i]
        if attention == "softmax":
            weights = softmax(products / width**0.5 + bias)
        else:
            scores = products / len(seen) + bias
            laplace = 0.5 * (1 + erf((scores - 0.5**0.5) / (0.25 / pi) ** 0.5 / 2**0.5))
            weights = np.maximum(scores, 0) ** 2 if attention == "relu2" else laplace
        y[i] = weights @ value[seen]
    reset, update = silu(moved @ own["reset"].T), sigmoid(moved @ own["blend"].T)
    candidate = silu(moved @ own["candidate"].T + (reset * y) @ own["out"].T)
    return update * (candidate - x)


def relative_bias(vectors: np.ndarray, i: int, j: int) -> float:
    """The product of one vector rotated to i and another to j, as complex numbers."""
    half = vectors.shape[1] // 2
    left, right = (v[:half] + 1j * v[half:] for v in vectors)
    turn = np.exp(1j * (i - j) * 10000.0 ** (-np.arange(half) / half))
    return float((left * turn * right.conj()).real.sum())


@pytest.mark.parametrize("chunk", [0, 4])
@pytest.mark.parametrize("attention", ["softmax", "relu2", "laplace"])
def test_is_the_authors_layer(attention: Literal["softmax", "relu2", "laplace"], chunk: int) -> None:
    mixer = Mega(speeds=3, width=4, attention=attention, chunk=chunk)
    weights, x = drawn(mixer), text(11, 1)
    wanted = by_hand(x[0].numpy(), {name: value.numpy() for name, value in weights.items()}, attention, chunk)
    np.testing.assert_allclose(mixed(x, mixer, weights)[0], wanted, rtol=1e-9, atol=1e-11)


def test_a_chunk_as_long_as_the_text_changes_nothing() -> None:
    weights, x = drawn(Mega(speeds=2)), text()
    torch.testing.assert_close(mixed(x, Mega(speeds=2, chunk=11), weights), mixed(x, Mega(speeds=2), weights))


def test_an_open_chunk_is_remembered() -> None:
    """Pieces that end inside a chunk, at its end, and after several of them."""
    mixer = Mega(speeds=2, chunk=4)
    weights, x = drawn(mixer), text(16)
    state, outputs = None, []
    for piece in x.split([1, 2, 1, 9, 2, 1], 1):
        y, state = mix(piece, mixer, weights, initial_state=state, output_final_state=True)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, 1), mixed(x, mixer, weights))


def test_laplace_touches_relu2() -> None:
    """With the same value and the same slope at √½."""
    for name in ("relu2", "laplace"):
        x = torch.tensor(0.5**0.5, dtype=torch.float64, requires_grad=True)
        y = _function(x, name)
        assert y.item() == pytest.approx(0.5)
        assert torch.autograd.grad(y, x)[0].item() == pytest.approx(2**0.5)


def test_a_layer_that_is_too_narrow_is_refused() -> None:
    with pytest.raises(SchemeError, match=r"mega needs 8 channels, or width=\.\.\.: the layer has 4"):
        Mega().initial_weights(1, 4)
