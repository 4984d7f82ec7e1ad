"""Watch a model attend: the scores and weights of every layer that sees all tokens, some rows at a time.

The model is read under its method by layers that compute the equation of schemes themselves. A method that leaves
attention to the model's own function gets a distance that changes nothing on top, `rerope` with a window beyond the
text, so that it is watched as well.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from longspan.compute.dense.blocks import row_blocks
from longspan.compute.dense.reference import scores
from longspan.compute.inputs import Inputs
from longspan.measure.reading.reader import Reader
from longspan.notation import parse
from longspan.pretrained.attach import attached
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.latents.layer import OnLatents
from longspan.pretrained.running.attention import LAYER, Extended


@dataclass(frozen=True, eq=False)
class Rows:
    """Some queries of one layer.

    Arguments:
        layer: its number.
        inputs: of these rows; `queries.order` and `keys.order` are places in the text.
        scores: −inf where a key is not seen.
        exists: which keys are seen.
    """

    layer: int
    inputs: Inputs
    scores: Float[Tensor, "heads queries keys"]
    exists: Bool[Tensor, "1 queries keys"]

    @property
    def weights(self) -> Float[Tensor, "heads queries keys"]:
        """What each query gives to each key."""
        x = self.inputs
        return x.scheme.normalizer(self.scores[None], x.weights_of(x.scheme.normalizer))[0]

    @property
    def order(self) -> list[int]:
        """The place of each query in the text."""
        return self.inputs.queries.order[0].tolist()


def watch(reader: Reader, method: str, ids: Sequence[int], visit: Callable[[Rows], None]) -> None:
    """Read a text under a method, and show the rows of every layer that sees all tokens, block by block.

    Arguments:
        method: a scheme's text.

    Errors: SchemeError for a text that is no scheme; RefusalError where this model cannot have the method.
    """
    with attached(reader.model, _computed(method, len(ids))) as model, _watched(model, visit), torch.no_grad():
        reader.hidden(reader.ids(ids))


def _computed(method: str, length: int) -> str:
    """The same method, so written that attention layers compute it."""
    return f"{method} + rerope(window={length + 1})" if parse(method).distance.is_true else method


@contextmanager
def _watched(model: nn.Module, visit: Callable[[Rows], None]) -> Iterator[None]:
    attachment = attachment_of(model)
    assert attachment is not None  # it was attached just now
    far = [(n, layer.module) for n, layer in enumerate(attachment.anatomy.layers) if layer.local_size is None]
    before = [(n, module, module.__dict__.get(LAYER)) for n, module in far]
    for number, module, extended in before:
        if isinstance(extended, OnLatents):  # what is watched are keys: without an absorbed form, they are expanded
            watched = _Watched(number, extended.layer, visit)
            module.__dict__[LAYER] = replace(extended, layer=watched, absorbed=None)
        elif isinstance(extended, Extended):
            module.__dict__[LAYER] = _Watched(number, extended, visit)
    try:
        yield
    finally:
        for _, module, extended in before:
            if extended is not None:
                module.__dict__[LAYER] = extended


@dataclass(frozen=True, eq=False)
class _Watched:
    """Shows the rows of a layer, and attends as it did."""

    number: int
    extended: Any  # an `Extended`; the type checker does not see that it can be called
    visit: Callable[[Rows], None]

    def __call__(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> Any:
        given = self.extended.call(module, query, key, value, attention_mask, **kwargs)
        for rows in row_blocks(self.extended.inputs(given, attention_mask)):
            found, exists = scores(rows)
            self.visit(Rows(self.number, rows, found[0], exists[0]))
        return self.extended(module, query, key, value, attention_mask, **kwargs)
