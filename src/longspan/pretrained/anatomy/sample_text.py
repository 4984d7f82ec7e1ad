"""A short sample text, and what a model makes of it when nothing disturbs the reading."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from longspan.autocast import without_autocast


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode, without autocast; afterwards each module is in the mode that it had."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with ExitStack() as stack:
            for weight in {weight.device.type: weight for weight in model.parameters()}.values():
                stack.enter_context(without_autocast(weight))
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def sample_tokens(model: nn.Module, rows: int, tokens: int) -> Tensor:
    """Draw token ids of a model's vocabulary, (rows, tokens), without special ones; the same in every call."""
    embedding = _embedding(model)
    device = embedding.weight.device
    special = {token for config in _configs(model) for token in _special_tokens(config)}
    usual = torch.tensor([token for token in range(min(embedding.num_embeddings, 4096)) if token not in special])
    drawn = torch.randint(len(usual), (rows, tokens), generator=torch.Generator().manual_seed(0))
    return usual[drawn].to("cpu" if device.type == "meta" else device)


def _embedding(model: Any) -> Any:
    """Return the embedding of token ids; transformers' models have this method, and wrappers of them hand it on."""
    return model.get_input_embeddings()


def _special_tokens(config: PreTrainedConfig) -> Iterator[int]:
    for name, value in config.to_dict().items():
        if name.endswith(("_token_id", "_token_index")):
            yield from value if isinstance(value, list) else [value]


def _configs(model: nn.Module) -> list[PreTrainedConfig]:
    found = {id(c): c for m in model.modules() if isinstance(c := m.__dict__.get("config"), PreTrainedConfig)}
    return list(found.values())


def run_text(model: nn.Module, tokens: Tensor, attention_mask: Tensor | None = None) -> Any:
    """Return what a model returns for a text without a cache."""
    return model(input_ids=tokens, attention_mask=attention_mask, use_cache=False)


def token_outputs(model: nn.Module, base: nn.Module, tokens: Tensor, attention_mask: Tensor) -> Tensor:
    """Return the logits of each token, or the text model's hidden states where the head labels whole texts.

    Arguments:
        base: the text model, a part of `model` or the model itself.
    """
    head = getattr(model, "get_output_embeddings", None)
    if head is None or head() is None:
        return run_text(base, tokens, attention_mask).last_hidden_state
    return run_text(model, tokens, attention_mask).logits
