"""Structured matrices in the place of the dense projections of a model that is trained with them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from longspan.errors import SchemeError
from longspan.monarch import Monarch, MonarchLinear
from longspan.notation import read_value
from longspan.pretrained.running.learned import LEARNED, Learned

DENSE = "dense"
SLOT = "linear"
"""The name of what projections learn, beside the slots of attention."""


@dataclass(frozen=True)
class MonarchProjections:
    """Every projection inside the layers is a Monarch matrix (`longspan.monarch`).

    Arguments:
        blocks: b, which divides the channels on both sides; a matrix of n × m has 1/b of its numbers.

    >>> read_linear("monarch(blocks=8)")
    MonarchProjections(blocks=8)
    """

    blocks: int = 4

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise SchemeError(f"monarch: blocks must be at least 1, got {self.blocks}")

    @property
    def name(self) -> str:
        """The name in a text."""
        return "monarch"


def read_linear(text: str) -> MonarchProjections | None:
    """Return the projections that a text names, "monarch" or "monarch(blocks=8)"; None for "dense".

    Errors: NotationError and SchemeError for a text that means nothing.
    """
    return None if text == DENSE else read_value(text, {"monarch": MonarchProjections}, f"projection beside {DENSE}")


class StructuredLinear(nn.Module):
    """A Monarch matrix in the place of a dense layer, whose bias it keeps.

    The matrix starts with the spread of the dense one. What it learns has names of its own, because no architecture of
    transformers has such a layer.
    """

    def __init__(self, layer: nn.Linear, blocks: int, generator: torch.Generator) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        made = MonarchLinear(self.in_features, self.out_features, blocks, bias=False, generator=generator)
        weight = layer.weight.detach()
        spread = float(weight.float().std()) * self.in_features**0.5  # its own numbers have 1/√inputs
        factors = {"first": made.first.detach(), "second": made.second.detach() * spread}
        weights = {f"{SLOT}.{name}": value.to(weight.device, weight.dtype) for name, value in factors.items()}
        self.add_module(LEARNED, Learned(weights))
        self.bias = layer.bias

    @property
    def stacks(self) -> dict[nn.Parameter, int]:
        """Its parameters, which decay: each is a block-diagonal matrix, with so many axes of a block's rows after the
        first axis, which numbers the blocks.
        """
        return {self.get_parameter(f"{LEARNED}.{SLOT}.{name}"): axes for name, axes in (("first", 2), ("second", 1))}

    @property
    def weight(self) -> Tensor:
        """The matrix written out, for whoever asks a linear layer for it."""
        return self._monarch.dense()

    def forward(self, x: Tensor) -> Tensor:
        """M x + b."""
        found = self._monarch @ x
        return found if self.bias is None else found + self.bias

    @property
    def _monarch(self) -> Monarch:
        return Monarch(*(self.get_parameter(f"{LEARNED}.{SLOT}.{name}") for name in ("first", "second")))


def put_structured(base: nn.Module, wanted: MonarchProjections, generator: torch.Generator) -> None:
    """Put structured layers in the place of all dense ones of a model without its head.

    Errors: ShapeError for a layer whose channels the blocks do not divide; the model is then as it was before.
    """
    dense = [(parent, *each) for parent in base.modules() for each in parent.named_children()]
    made = [
        (parent, name, StructuredLinear(layer, wanted.blocks, generator))
        for parent, name, layer in dense
        if type(layer) is nn.Linear
    ]
    for parent, name, layer in made:
        parent.add_module(name, layer)
