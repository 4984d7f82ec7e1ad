"""Contiguous positions are what `attend` takes where none are given."""

import torch

from by_hand import drawn, tensors
from longspan import attend
from longspan.positions.contiguous import contiguous


def test_it_is_the_default_of_attend() -> None:
    q, k, v = tensors(*drawn(7))
    assert torch.equal(attend(q, k, v, "rope", key_positions=contiguous(7)[0], query_positions=contiguous(7)[0]),
                       attend(q, k, v, "rope"))  # fmt: skip
    assert contiguous(3).tolist() == [[0, 1, 2]]
