"""The hook that adds absolute positions to the embeddings, before the first layer of a model."""

from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from longspan.errors import RefusalError
from longspan.pretrained.anatomy.layers import Anatomy
from longspan.pretrained.running.arguments import Arguments
from longspan.pretrained.running.forward_pass import ForwardPasses
from longspan.pretrained.running.learned import learned_weights
from longspan.slots.absolute import Absolute

HIDDEN = "hidden_states"
SLOT = "absolute"
"""The name of what an encoding learns, beside the slots of attention."""


class AbsoluteHook:
    """A hook before the first layer, which the model's rotary module has been called before.

    Arguments:
        block: the first layer.
        absolute: what is added, without open fields.
        passes: of the model; they know the true position of each token.
    """

    def __init__(self, block: nn.Module, absolute: Absolute, passes: ForwardPasses) -> None:
        self.arguments, self.absolute, self.passes = Arguments(block), absolute, passes
        if HIDDEN not in self.arguments.names:
            raise RefusalError(f"{type(block).__name__} takes no {HIDDEN}: no position can be added to them")

    def __call__(self, block: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Add the vectors of the positions; torch calls this before the layer's forward."""
        current = self.passes.current
        if current is None or current.positions is None:
            raise RefusalError("this model calls its first layer before it knows positions: none can be added to it")
        hidden: Tensor = self.arguments.get(HIDDEN, args, kwargs)
        own = {n.removeprefix(f"{SLOT}."): w for n, w in learned_weights(block).items()}
        added: Any = self.absolute.vectors(
            current.positions.to(hidden.device), hidden.shape[-1], own, training=block.training
        )
        return self.arguments.put(HIDDEN, hidden + added.to(hidden.dtype), args, kwargs)

    def install(self, block: nn.Module) -> list[RemovableHandle]:
        """Register the hook."""
        return [block.register_forward_pre_hook(self, with_kwargs=True)]


def first_block(anatomy: Anatomy) -> nn.Module:
    """Return the first layer of a model: the member of a list of modules that holds the first attention module.

    Errors: RefusalError where there is no such list.
    """
    attention = anatomy.layers[0].module
    for holder in anatomy.base.modules():
        if isinstance(holder, nn.ModuleList):
            for block in holder:
                if any(module is attention for module in block.modules()):
                    return block
    raise RefusalError(f"{type(anatomy.base).__name__} has no list of layers: no position can be added before them")
