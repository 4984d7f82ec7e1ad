"""Read at once what a server wrote token by token, where each token was rotated with frequencies of its own.

A key that is cached keeps the frequencies that it was rotated with. Read at once, every row of a text therefore needs
those of its own step, as a query and as a key.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from longspan.errors import RefusalError
from longspan.plan import Plan
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.running.arguments import Arguments
from longspan.pretrained.running.rotary import Source
from longspan.scheme import Scheme
from longspan.slots import Rotation


@contextmanager
def rotated_one_by_one(model: nn.Module, schemes: Sequence[Plan | Scheme]) -> Iterator[None]:
    """Rotate each of a text's last tokens as its own scheme does, and those before as the model's extension does.

    Arguments:
        model: an extended model whose rotary modules do the whole rotation; any model where there are no schemes.
        schemes: of the last tokens, in their order; they differ in their rotation alone.

    Errors: RefusalError for a model whose rotary modules do less.
    """
    attachment = attachment_of(model)
    with ExitStack() as stack:
        if schemes:
            if attachment is None or not attachment.work.stock:
                raise RefusalError("each token has a rotation of its own, which rotary modules alone cannot do here")
            rotations = [scheme.rotation for scheme in schemes if isinstance(scheme, Scheme)]
            for source in attachment.anatomy.sources():
                hook = _LastRows(source, rotations)
                stack.callback(source.module.register_forward_hook(hook, with_kwargs=True).remove)
        yield


class _LastRows:
    """A hook after a rotary module: it replaces cosine and sine of the last tokens."""

    def __init__(self, source: Source, rotations: Sequence[Rotation]) -> None:
        self.source, self.rotations, self.arguments = source, rotations, Arguments(source.module)

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        """Return cosine and sine, of the last tokens with other frequencies; torch calls this after the forward."""
        if self.arguments.get("layer_type", args, kwargs) != self.source.layer_type:
            return None
        positions = self.arguments.get("position_ids", args, kwargs)
        first = positions.shape[-1] - len(self.rotations)
        rows = [self._row(positions[..., first + i, None], i, args, kwargs) for i in range(len(self.rotations))]
        return tuple(
            torch.cat([whole[..., :first, :], *last], -2)
            for whole, last in zip(output, zip(*rows, strict=True), strict=True)
        )

    def _row(self, position: Tensor, index: int, args: tuple, kwargs: dict) -> tuple[Tensor, ...]:
        rotation = self.rotations[index]
        installed = self.source.install(rotation.frequencies(2 * len(self.source.frequencies)), rotation.gain)
        try:
            given, named = self.arguments.put("position_ids", position, args, kwargs)
            return self.source.module.forward(*given, **named)
        finally:
            installed.remove()
