"""What queries see, against transformers' own dense masks."""

import pytest
import torch
from transformers import masking_utils
from transformers.masking_utils import (
    chunked_causal_mask_function,
    sliding_window_bidirectional_mask_function,
    sliding_window_causal_mask_function,
)

from longspan.audit.watching.visible import Pattern, with_values


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_a_window_shows_its_size_the_query_included(size: int) -> None:
    assert Pattern(sliding_window_causal_mask_function(size), size).visible() == (size, 0)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_a_chunk_shows_its_size_from_the_last_query(size: int) -> None:
    padding = torch.zeros(1, dtype=torch.long, device="meta")
    assert Pattern(chunked_causal_mask_function(size, padding), size).visible() == (size, 0)


def test_a_window_to_both_sides_shows_what_comes_after() -> None:
    assert Pattern(sliding_window_bidirectional_mask_function(5), 5).visible() == (6, 5)


def test_the_dense_mask_of_transformers_agrees() -> None:
    """Built by transformers itself, 40 × 40, from a function that is then counted."""
    function = sliding_window_causal_mask_function(9)
    dense = masking_utils.sdpa_mask(
        batch_size=1, q_length=40, kv_length=40, mask_function=function, allow_is_causal_skip=False
    )
    assert dense is not None
    assert int(dense[0, 0].sum(-1).max()) == 9
    assert Pattern(function, 9).visible() == (9, 0)


def test_an_unlimited_layer_is_not_counted() -> None:
    assert Pattern(masking_utils.causal_mask_function, None).visible() is None


def test_a_function_that_needs_values_is_unknown() -> None:
    def function(batch: object, head: object, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("Tensor.item() cannot be called on meta tensors")

    assert Pattern(function, 4).visible() is None


def test_tensors_without_values_become_zeros_and_truth_values_ones() -> None:
    numbers, flags = torch.empty(2, device="meta"), torch.empty(2, dtype=torch.bool, device="meta")

    def function() -> tuple[torch.Tensor, torch.Tensor]:
        return numbers, flags

    with_values(function)
    assert function()[0].tolist() == [0, 0]
    assert function()[1].tolist() == [True, True]
