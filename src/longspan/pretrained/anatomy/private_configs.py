"""Configs that a model shares with no other: what is written into them reaches this model alone."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedConfig


def swap_configs(model: nn.Module) -> list[tuple[nn.Module, str, PreTrainedConfig]]:
    """Give a model copies of its configs; return what was there, as (module, attribute, config)."""
    memo: dict[int, Any] = {}
    swapped = []
    for module in model.modules():
        for name, value in list(module.__dict__.items()):
            if isinstance(value, PreTrainedConfig):
                swapped.append((module, name, value))
                module.__dict__[name] = copy.deepcopy(value, memo)
    return swapped


@contextmanager
def private_configs(model: nn.Module) -> Iterator[list[PreTrainedConfig]]:
    """Give a model copies of its configs while the context lasts; yield each copy once."""
    swapped = swap_configs(model)
    try:
        own = {id(module.__dict__[name]): module.__dict__[name] for module, name, _ in swapped}
        yield list(own.values())
    finally:
        for module, name, value in swapped:
            module.__dict__[name] = value
