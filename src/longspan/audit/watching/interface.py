"""The attention function and the mask function of an observed model: they record what they are given.

Both are registered with transformers under one name. A mask is a tensor without values, so that a model may work on it,
and carries the mask function that it would have been made of.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig

from longspan.audit.watching.trail import Trail, mark, marks
from longspan.audit.watching.visible import Pattern

NAME = "longspan_audit"
PATTERN = "_longspan_pattern"
WATCHED_BY = "_longspan_audit"
FREQUENCIES = "inv_freq"

Source = tuple[nn.Module, str | None]
"""A rotary module, and the layer type where it holds several sets of frequencies."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of the attention function: shapes are (batch, heads, tokens, channels)."""

    module: nn.Module
    query: tuple[int, ...]
    key: tuple[int, ...]
    value: tuple[int, ...]
    scaling: float | None
    sliding_window: int | None
    pattern: Pattern | None
    sources: frozenset[Source]


@dataclass(eq=False)
class Watch:
    """Watches a model on the meta device while it is active.

    Arguments:
        model: the whole model.
        text: its part that reads text.
        calls: calls of the attention function, in order.
        sources: sets of frequencies that were asked for, in order.
        positions: dimensions of the positions that each was given: 2, or 3 where there are several axes.
    """

    model: nn.Module
    text: nn.Module
    calls: list[Call] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    positions: dict[Source, int] = field(default_factory=dict)

    def __enter__(self) -> "Watch":
        self._hooks, self._kinds, self._trail = [], {}, Trail()
        for module in self.text.modules():
            config = module.__dict__.get("config")
            if isinstance(config, PreTrainedConfig):
                config._attn_implementation_internal = NAME
                module.__dict__[WATCHED_BY] = self
            if any(name.endswith(FREQUENCIES) for name, _ in module.named_buffers(recurse=False)):
                self._hooks.append(module.register_forward_hook(self._rotated, with_kwargs=True))
                if (kind := module.__dict__.get("rope_type")) is not None:  # following the length needs values
                    self._kinds[module] = kind
                    module.__dict__["rope_type"] = (
                        dict.fromkeys(kind, "default") if isinstance(kind, dict) else "default"
                    )
        self._trail.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._trail.__exit__(*error)
        for hook in self._hooks:
            hook.remove()
        for module, kind in self._kinds.items():
            module.__dict__["rope_type"] = kind
        for module in self.text.modules():
            module.__dict__.pop(WATCHED_BY, None)

    def _rotated(self, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        layer_type = kwargs.get("layer_type", args[2] if len(args) > 2 and isinstance(args[2], str) else None)
        source = (module, layer_type)
        if source not in self.sources:
            self.sources.append(source)
        positions = kwargs.get("position_ids", args[1] if len(args) > 1 else None)
        if isinstance(positions, Tensor):
            self.positions[source] = positions.ndim
        mark(output, frozenset({source}))

    def attention(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, given: Any, more: dict) -> Tensor:
        """Record a call, and answer with a tensor of the right shape that carries no marks."""
        scaling, window = more.get("scaling"), more.get("sliding_window")
        sources: Any = marks(query) | marks(key)
        self.calls.append(
            Call(
                module,
                tuple(query.shape),
                tuple(key.shape),
                tuple(value.shape),
                float(scaling) if isinstance(scaling, int | float) else None,
                window if isinstance(window, int) else None,
                getattr(given, PATTERN, None),
                sources,
            )
        )
        batch, heads, tokens, _ = query.shape
        return torch.empty(batch, tokens, heads, value.shape[-1], dtype=value.dtype, device=value.device)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any = None, **more: Any
) -> tuple[Tensor, None]:
    watch: Watch = module.__dict__[WATCHED_BY]
    return watch.attention(module, query, key, value, attention_mask, more), None


def _mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    mask_function: Any = None,
    local_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    **_: Any,
) -> Tensor:
    made = torch.zeros(batch_size, 1, q_length, kv_length, dtype=dtype, device="meta")
    setattr(made, PATTERN, Pattern(mask_function, local_size))
    return made


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _mask)
