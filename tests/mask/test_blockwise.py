"""Blockwise attention is the authors' loop over half-blocks, and sees what the paper counts."""

import numpy as np
import pytest
import torch

from by_hand import BACKENDS, drawn, output, scores, tensors
from longspan import Geometry, attend
from longspan.errors import SchemeError
from longspan.mask.blockwise import Blockwise
from mask.by_pairs import counts, matrix


def by_blocks(q: np.ndarray, k: np.ndarray, v: np.ndarray, block: int) -> np.ndarray:
    """Each half-block against itself and the one before, with positions starting from 0 in every pair of them."""
    half = block // 2
    rows = []
    for start in range(0, len(q), half):
        first = max(start - half, 0)
        keys, queries = slice(first, start + half), slice(start, start + half)
        place = np.arange(len(k[keys]))
        score = scores(q[queries], k[keys], place[start - first :], place)
        rows.append(output(score, v[keys], np.tri(*score.shape, k=start - first, dtype=bool)))
    return np.concatenate(rows)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("block", [2, 8, 10, 30, 60])
def test_attention_is_the_loop_over_half_blocks(backend: str, block: int) -> None:
    q, k, v = drawn(30)
    out = attend(*tensors(q, k, v), f"rope + blockwise({block})", backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, by_blocks(q, k, v, block), rtol=0, atol=1e-13)


def test_counts_of_a_block_of_eight() -> None:
    assert counts(Blockwise(8), 20, causal=True) == [1, 2, 3, 4, 5, 6, 7, 8, *(3 * [5, 6, 7, 8])]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("sinks", [0, 1, 7])
def test_pairs_and_their_number(sinks: int, causal: bool) -> None:
    for length in (1, 5, 23):
        wanted = np.zeros((length, length), dtype=bool)
        for i in range(length):
            for j in range(length):
                near = i // 3 - j // 3 in ((0, 1) if causal else (-1, 0, 1))
                wanted[i, j] = (near or j < sinks) and (j <= i or not causal)
        mask = Blockwise(6, sinks=sinks)
        assert (matrix(mask, length, causal) == wanted).all()
        assert counts(mask, length, causal) == wanted.sum(1).tolist()


def test_a_shift_by_half_a_block_leaves_the_interior() -> None:
    q, k, v = tensors(*drawn(30))
    whole = attend(q, k, v, "rope + blockwise(8)")
    shifted = attend(q[:, :, 4:], k[:, :, 4:], v[:, :, 4:], "rope + blockwise(8)")
    torch.testing.assert_close(shifted[:, :, 4:], whole[:, :, 8:], rtol=0, atol=1e-13)
    assert Blockwise(8).shift_period == 4
    assert Blockwise(8, sinks=1).shift_period is None


def test_a_text_of_one_block_is_seen_whole() -> None:
    assert Blockwise(8).changes_nothing(8)
    assert not Blockwise(8).changes_nothing(9)
    assert (matrix(Blockwise(8), 8, causal=True) == np.tri(8, dtype=bool)).all()
    assert not (matrix(Blockwise(8), 9, causal=True) == np.tri(9, dtype=bool)).all()


def test_fill_and_refusal() -> None:
    assert Blockwise().fill(Geometry(8, 8, 16, trained_length=511), 1024) == Blockwise(510)
    with pytest.raises(SchemeError, match="blockwise: block must be even and at least 2, got 7"):
        Blockwise(7)
    with pytest.raises(SchemeError, match="blockwise: sinks must be at least 0, got -1"):
        Blockwise(8, sinks=-1)
