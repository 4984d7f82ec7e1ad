"""Rows of a cache that holds states."""

import torch

from longspan.pretrained.states.state_layer import StateLayer


class Numbers:
    """A state that is the numbers of its rows."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def select(self, rows: torch.Tensor) -> "Numbers":
        return Numbers([self.rows[row] for row in rows.tolist()])


def test_rows_are_kept_by_number_or_by_a_mask_of_all() -> None:
    for kept in (torch.tensor([1, 2]), torch.tensor([False, True, True])):
        layer = StateLayer()
        layer.update(*[torch.zeros(3, 1, 5, 0)] * 2)
        layer.state = Numbers([10, 11, 12])
        layer.batch_select_indices(kept)
        assert layer.state.rows == [11, 12]
        assert layer.keys is not None
        assert len(layer.keys) == 2
