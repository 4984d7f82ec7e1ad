"""Running a model with float32 weights where it has shorter ones, so that rounding hides no difference.

Only one block of layers is held twice at a time. A model with weights elsewhere (offloaded ones are on the meta device
until they are needed) runs as it is.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

SHORT = (torch.bfloat16, torch.float16)


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Run a model in float32 while the context lasts; its weights come back bit for bit, in the memory they had."""
    if any(parameter.is_meta for parameter in model.parameters()):
        yield
        return
    blocks = [block for blocks in _outermost(model) for block in blocks]
    within = {parameter for block in blocks for parameter in block.parameters()}
    always = _Widened(parameter for parameter in model.parameters() if parameter not in within)
    hooks = []
    try:
        always.widen()
        for block in blocks:
            widened = _Widened(block.parameters())
            hooks.append(block.register_forward_pre_hook(widened.widen))
            hooks.append(block.register_forward_hook(widened.restore, always_call=True))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        always.restore()


class _Widened:
    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.dtype in SHORT]
        self.before: list[tuple[nn.Parameter, Tensor]] = []

    def widen(self, *_: object) -> None:
        for parameter in self.parameters:
            self.before.append((parameter, parameter.data))
            parameter.data = parameter.data.float()

    def restore(self, *_: object) -> None:
        while self.before:
            parameter, data = self.before.pop()
            parameter.data = data


def _outermost(module: nn.Module) -> Iterator[nn.ModuleList]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _outermost(child)
