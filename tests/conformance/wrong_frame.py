"""A frame that is wrong on purpose: what the table must notice."""

from typing import Any

import torch
from torch import nn

from longspan.pretrained import attachment
from longspan.pretrained.running.hooks import RotaryHook


class WrongFrame(RotaryHook):
    """Gives positions that drift away from those that it has to give."""

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict[str, Any]]:
        given = super().__call__(module, args, kwargs) or (args, kwargs)
        mapped = self.arguments.get("position_ids", *given)
        return self.arguments.put("position_ids", mapped + torch.arange(mapped.shape[-1]) % 3, *given)


def tell_false_positions() -> None:
    """From here on, in this process."""
    attachment.RotaryHook = WrongFrame  # type: ignore[misc]
