"""What makes logits of the last hidden states: the head, and in masked language models a transformation before it."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from longspan.pretrained.anatomy.sample_text import evaluating, run_text, sample_tokens

TOKENS = 4
"""Tokens of the text that a model reads while its modules are watched."""


@dataclass(frozen=True, eq=False)
class Head:
    """The modules that a model calls after its text model.

    Arguments:
        modules: in the order of their calls.
    """

    modules: tuple[nn.Module, ...]

    def __call__(self, hidden: Float[Tensor, "*tokens width"]) -> Float[Tensor, "*tokens vocabulary"]:
        """Return the logits of hidden states."""
        for module in self.modules:
            hidden = module(hidden)
        return hidden


def text_model(model: Any) -> nn.Module:
    """Return what makes the hidden states of a language model of transformers."""
    own = model.base_model
    return model.get_decoder() if own is model else own  # some architectures call their text model by another name


@torch.no_grad()
def head_of(model: Any) -> Head:
    """Return the head of a language model, which reads a short text for that."""
    base, called = text_model(model), list[nn.Module]()
    around = [module for module in model.modules() if module is not base and base in set(module.modules())]
    beside = [child for module in around for child in module.children() if child is not base and child not in around]
    hooks = [base.register_forward_hook(lambda *_: called.clear())]  # an embedding is no head
    hooks += [module.register_forward_hook(lambda module, *_: called.append(module)) for module in beside]
    try:
        with evaluating(model):
            run_text(model, sample_tokens(model, 1, TOKENS))
    finally:
        for hook in hooks:
            hook.remove()
    return Head(tuple(called))
