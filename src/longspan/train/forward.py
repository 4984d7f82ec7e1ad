"""One forward pass of a model over a batch, in training and in tests."""

from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from longspan.train.data.batch import Batch


def hidden_states(
    model: Any, batch: Batch, positions: Shaped[Tensor, "1 tokens"] | None = None
) -> Float[Tensor, "rows tokens width"]:
    """Return the last hidden states of a batch.

    Arguments:
        model: a causal language model of transformers.
        positions: that all rows are given; None to count their tokens.
    """
    arguments: dict[str, Any] = {}
    if batch.real is not None:
        arguments["attention_mask"] = batch.real.long()
    if positions is not None:
        # A mask, also without padding: transformers would take positions that jump for packed documents.
        arguments = {"attention_mask": torch.ones_like(batch.inputs), **arguments, "position_ids": positions}
    elif batch.positions is not None:
        arguments["position_ids"] = batch.positions
    return model.base_model(input_ids=batch.inputs, use_cache=False, **arguments).last_hidden_state
