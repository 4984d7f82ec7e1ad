"""The numbers that a design learns, as parameters of an attention module."""

from torch import Tensor, nn

LEARNED = "longspan"
"""The name of the module that holds the learned numbers of an attention module."""


class Learned(nn.Module):
    """The learned numbers of one attention layer, as parameters named `slot.name`.

    Arguments:
        weights: their values at the start of training.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        slots: dict[str, dict[str, nn.Parameter]] = {}
        for name, value in weights.items():
            slot, _, own = name.partition(".")
            slots.setdefault(slot, {})[own] = nn.Parameter(value)
        for slot, values in slots.items():
            self.add_module(slot, nn.ParameterDict(values))

    def weights(self) -> dict[str, Tensor]:
        """Return them as `attend` takes them."""
        return dict(self.named_parameters())


def learned_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return the learned numbers of an attention module by `slot.name`; empty where its design learns none."""
    held = module._modules.get(LEARNED)
    return held.weights() if isinstance(held, Learned) else {}
