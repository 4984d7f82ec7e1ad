"""Tiny random models in which positions matter: zeroing them moves logits by at least 0.2 of their deviation."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

TRAINED = 32

_Model = TypeVar("_Model", bound=nn.Module)


def tiny_llama(seed: int = 0, **changes) -> LlamaForCausalLM:
    sizes = {
        "vocab_size": 97,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": TRAINED,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": None,
    }
    torch.manual_seed(seed)
    return sharpened(LlamaForCausalLM(LlamaConfig(**(sizes | changes))).eval())


def sharpened(model: _Model, factor: float = 12.0) -> _Model:
    """Larger query and key projections, so that attention is not almost uniform."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                weight.mul_(factor)
    return model


def tokens(rows: int, length: int, seed: int = 1) -> Tensor:
    return torch.randint(2, 97, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits(model: nn.Module, words: Tensor, **more) -> Tensor:
    return model(input_ids=words, use_cache=False, **more).logits


@torch.no_grad()
def in_parts(model: nn.Module, words: Tensor, sizes: list[int], cache=None, mask: Tensor | None = None) -> Tensor:
    """Logits read part by part with a cache."""
    found, start = [], 0
    for size in sizes:
        stop = start + size
        more = {} if mask is None else {"attention_mask": mask[:, :stop]}
        out = model(input_ids=words[:, start:stop], past_key_values=cache, use_cache=True, **more)
        found.append(out.logits)
        cache, start = out.past_key_values, stop
    assert start == words.shape[1]
    return torch.cat(found, 1)
