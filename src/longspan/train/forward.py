"""One forward pass of a model over a batch: hidden states, in training and in tests, and the loss of a step."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from longspan.pretrained.mixing import follows, penalties
from longspan.train.data.batch import Batch, moved
from longspan.train.head import head_of, text_model
from longspan.train.loss import Loss, summed_loss


def hidden_states(
    model: Any, batch: Batch, positions: Shaped[Tensor, "1 tokens"] | None = None
) -> Float[Tensor, "rows tokens width"]:
    """Return the last hidden states of a batch.

    Arguments:
        model: a language model of transformers.
        positions: that all rows are given; None to count their tokens.
    """
    arguments: dict[str, Any] = {}
    if batch.real is not None and (not batch.unseen or follows(model)):
        arguments["attention_mask"] = batch.real.long()
    if positions is not None:
        # A mask, also without padding: transformers would take positions that jump for packed documents.
        arguments = {"attention_mask": torch.ones_like(batch.inputs), **arguments, "position_ids": positions}
    elif batch.positions is not None:
        arguments["position_ids"] = batch.positions
    return text_model(model)(input_ids=batch.inputs, use_cache=False, **arguments).last_hidden_state


@contextmanager
def quiet(model: nn.Module) -> Iterator[None]:
    """Run a model without dropout and gradients; afterwards it trains as before."""
    training = model.training
    with torch.no_grad():
        model.eval()
        yield
    model.train(training)


class Objective(nn.Module):
    """What a step minimizes, as a module whose forward gives the loss: all parameters are used inside it.

    Arguments:
        model: with its design.
        loss: of each token.
        dtype: of matrix products.

    `read` is how many tokens the whole step reads, which is set before it.
    """

    def __init__(self, model: Any, loss: Loss, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.loss, self.dtype, self.head = model, loss, dtype, head_of(model)
        self.read = 1

    def forward(self, batch: Batch, positions: Shaped[Tensor, "1 tokens"] | None, asked: int) -> Float[Tensor, ""]:
        """Return the summed loss of some rows as a share of all that a step asks.

        Arguments:
            batch: on the CPU.
            positions: that all rows are given, on the CPU; None to count their tokens.
            asked: tokens that the whole step is asked for.
        """
        device = next(self.model.parameters()).device
        # The CPU finds out what is asked: a mask on a GPU would have to be counted there first.
        which = moved(batch.asked.flatten().nonzero()[:, 0], device)
        there, given = batch.to(device), None if positions is None else moved(positions, device)
        with self._autocast(device):
            hidden, rows = hidden_states(self.model, there, given), self.model.get_output_embeddings().weight
            chosen, targets = hidden.flatten(0, 1)[which], there.targets.flatten()[which]
            loss = summed_loss(self.loss, chosen, targets, self.head, rows) / asked
        return loss + _gradient_alone(penalties(self.model) / self.read)

    def _autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.dtype)


def _gradient_alone(value: Tensor | float) -> Tensor | float:
    """Return zero with the gradient of a number: it is minimized, and is no part of the loss of tokens."""
    return value - value.detach() if isinstance(value, Tensor) else 0.0
