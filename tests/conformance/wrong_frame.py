"""A frame that is wrong on purpose: what the table must notice."""

from typing import Any

import torch
from torch import nn

from longspan.pretrained import attachment
from longspan.pretrained.running.hooks import RotaryHook


class WrongFrame(RotaryHook):
    """Tells positions that drift away from those that it should tell."""

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict[str, Any]]:
        given = super().__call__(module, args, kwargs) or (args, kwargs)
        told = self.arguments.get("position_ids", *given)
        return self.arguments.put("position_ids", told + torch.arange(told.shape[-1]) % 3, *given)


def tell_false_positions() -> None:
    """From here on, in this process."""
    attachment.RotaryHook = WrongFrame  # type: ignore[misc]
