"""Loss: what training minimizes, from logits and targets; the folder `losses` is the registry.

Logits of all tokens at once would be tokens × vocabulary numbers. They are made slice by slice, and once more in the
backward pass where they are many.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from longspan.errors import InputError, nearest
from longspan.memo import remember
from longspan.registry import registered

SLICE_BYTES = 64 * 2**20
"""Bytes of the logits of a slice, as float32."""


class Loss(ABC):
    """The loss of each token."""

    @abstractmethod
    def __call__(
        self,
        logits: Float[Tensor, "tokens vocabulary"],
        targets: Int64[Tensor, " tokens"],
        head: Float[Tensor, "vocabulary width"],
    ) -> Float[Tensor, " tokens"]:
        """Return the loss of each token.

        Arguments:
            logits: in float32.
            targets: the right tokens.
            head: the weights that make logits of hidden states, a row per token of the vocabulary.
        """


@remember(None)
def losses() -> dict[str, type[Loss]]:
    """Return all losses by name."""
    return registered("longspan.train.losses", Loss)


def loss_of(name: str) -> Loss:
    """Return a loss by its name.

    Errors: InputError for a name that there is none of.
    """
    if name not in losses():
        raise InputError(f"unknown loss {name!r}{nearest(name, losses())}; there are {', '.join(losses())}")
    return losses()[name]()


def summed_loss(
    loss: Loss,
    hidden: Float[Tensor, "tokens width"],
    targets: Int64[Tensor, " tokens"],
    logits_of: Callable[[Tensor], Tensor],
    head: Float[Tensor, "vocabulary width"],
) -> Float[Tensor, ""]:
    """Return the sum of the loss over tokens, whose logits are made in slices.

    Arguments:
        logits_of: from hidden states to logits.
    """
    size = max(1, SLICE_BYTES // (4 * len(head)))

    def summed(some: Tensor, wanted: Tensor) -> Tensor:
        return loss(logits_of(some).float(), wanted, head).sum()

    if size >= len(targets):
        return summed(hidden, targets)
    total = torch.zeros((), device=hidden.device)
    for start in range(0, len(targets), size):
        part = hidden[start : start + size], targets[start : start + size]
        total = total + checkpoint(summed, *part, use_reentrant=False)
    return total
