"""Probing: how each attention layer of a model turns its channels, found by watching it do so.

All tokens are told the same position. Distances are then zero, hidden states do not depend on which position it was,
and queries differ between two such passes by their turning alone. A finite list of layouts is tried on them. Nothing
is known about any family.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from longspan.compute.rotate import rotate
from longspan.errors import RefusalError
from longspan.pretrained.anatomy.layout import ChannelLayout
from longspan.pretrained.anatomy.model_spectrum import ModelSpectrum
from longspan.pretrained.running.arguments import Arguments
from longspan.pretrained.running.attention import IMPLEMENTATION, LAYER, WATCHING, AttentionOutput, Stock
from longspan.pretrained.running.mask import LazyMask
from longspan.pretrained.running.rotary import Source, rotary_modules

TOKENS = 6
CONSTANTS = (0, 3, 251)
"""Every set of frequencies is told its own constant: these plus a multiple of its index."""
SLOWED = -1
"""Stands for the pass with all frequencies halved and tokens told twice `CONSTANTS[1]`: all turn as far as they did."""
GROWN = -2
"""Stands for the pass with twice the gain and tokens told `CONSTANTS[1]`: what normalizes afterwards undoes it."""
TOLERANCE = {torch.float32: 2e-4, torch.float64: 2e-4, torch.bfloat16: 3e-2, torch.float16: 4e-3}


@dataclass(frozen=True, eq=False)
class Layer:
    """One attention layer.

    Arguments:
        module: what calls the attention function.
        source: its frequencies; None where it does not turn.
        layout: its channels; None where it does not turn.
        local_size: sliding window or chunk, tokens; None where it sees everything.
        implementation: the attention function it called before.
        num_heads, num_kv_heads: as queries and keys came.
        opaque: whether no layout explains its turning. Nobody but the model can then turn its keys.
        steerable: whether it turns with other frequencies when they are put in the place of its source's.
        gains: whether a gain of its source reaches its scores.
    """

    module: nn.Module
    source: Source | None
    layout: ChannelLayout | None
    local_size: int | None
    implementation: str
    num_heads: int
    num_kv_heads: int
    opaque: bool = False
    steerable: bool = True
    gains: bool = True

    @property
    def masks_band(self) -> bool:
        """Whether its own function is given a mask of queries × keys for the sake of a window."""
        return self.local_size is not None and self.implementation == "sdpa"

    @property
    def config(self) -> PreTrainedConfig:
        """The module's, of this moment."""
        return self.module.__dict__["config"]

    def spectrum(self) -> ModelSpectrum | None:
        """How it turns."""
        if self.source is None or self.layout is None:
            return None
        return model_spectrum(self.source, self.layout)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What an extension must know of a model.

    Arguments:
        base: the text model, which is given positions and cache.
        layers: its attention layers in the order of their call.
        own_masks: whether the model works on its masks itself, so that it must be given real ones.
    """

    base: PreTrainedModel
    layers: tuple[Layer, ...]
    own_masks: bool = False

    def sources(self) -> tuple[Source, ...]:
        """All sets of frequencies that layers turn with."""
        return tuple(dict.fromkeys(layer.source for layer in self.layers if layer.source))


def model_spectrum(source: Source, layout: ChannelLayout) -> ModelSpectrum:
    """The frequencies of a source as a rotation."""
    own = tuple(source.frequencies.double().tolist())
    return ModelSpectrum(own=own, own_gain=source.gain, layout=layout.pairing, partial=layout.partial)


def probe(model: nn.Module) -> Anatomy:
    """Watch a model turn its channels.

    Errors: RefusalError for a model without rotary modules, without transformers' attention interface, or with a
    turning that is none of the known layouts.
    """
    modules = list(rotary_modules(model))
    if not modules:
        raise RefusalError(f"{type(model).__name__} has no rotary position embedding: there is nothing to extend")
    try:
        return _watched(model, modules, IMPLEMENTATION)
    except RefusalError:
        raise
    except Exception:  # whatever a model does when its mask is no tensor
        return replace(_watched(model, modules, WATCHING), own_masks=True)


def _watched(model: nn.Module, modules: list[nn.Module], implementation: str) -> Anatomy:
    with private_configs(model) as configs, calm(model), torch.no_grad():
        watch = _Watch(model, modules, {id(config): str(config._attn_implementation) for config in configs})
        for config in configs:
            config._attn_implementation_internal = implementation
        with watch, _fixed(modules):
            for constant in CONSTANTS:
                watch.constant = constant
                run_text(model, probe_tokens(model, 1, TOKENS))
            for constant, slower, gain in ((SLOWED, 2, 1), (GROWN, 1, 2)):
                with _changed(watch.sources, slower, gain):
                    watch.constant = constant
                    run_text(model, probe_tokens(model, 1, TOKENS))
    return watch.anatomy()


@contextmanager
def _fixed(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Rotary modules that keep their frequencies, however far the constants lie beyond the length they switch at."""
    kinds = {module: kind for module in modules if (kind := module.__dict__.get("rope_type")) is not None}
    for module, kind in kinds.items():
        module.__dict__["rope_type"] = dict.fromkeys(kind, "default") if isinstance(kind, dict) else "default"
    try:
        yield
    finally:
        for module, kind in kinds.items():
            module.__dict__["rope_type"] = kind


@contextmanager
def _changed(sources: Iterable[Source], slower: float, gain: float) -> Iterator[None]:
    """Sources that turn more slowly and, where they can be given one, have another gain."""
    installed = []
    for source in sources:
        larger = gain * source.gain
        installed.append(source.install(source.frequencies / slower, larger if source.holds(larger) else source.gain))
    try:
        yield
    finally:
        for one in installed:
            one.remove()


class _Watch:
    """Records queries at the attention interface while rotary modules are told constants."""

    def __init__(self, model: nn.Module, modules: list[nn.Module], implementations: dict[int, str]) -> None:
        self.model, self.modules, self.implementations = model, modules, implementations
        self.constant = 0
        self.sources: dict[Source, int] = {}
        self.seen: dict[nn.Module, dict[int, tuple[Tensor, Tensor]]] = {}
        self.hidden: dict[nn.Module, Any] = {}
        self.local: dict[nn.Module, int | None] = {}
        self.stock: dict[nn.Module, Stock] = {}
        self.hooks: list[Any] = []

    def __enter__(self) -> "_Watch":
        for module in self.modules:
            self.hooks.append(module.register_forward_pre_hook(_Tell(self, module), with_kwargs=True))
        for module in self.model.modules():
            if isinstance(module.__dict__.get("config"), PreTrainedConfig):
                module.__dict__[LAYER] = self
                self.hooks.append(module.register_forward_pre_hook(self._replay, with_kwargs=True))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()
        for module in self.model.modules():
            module.__dict__.pop(LAYER, None)

    def _replay(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        """Give an attention module the hidden states of the first pass, whatever rounding did below it."""
        if self.constant and module not in self.seen:
            return None
        name = "hidden_states"
        given = kwargs.get(name, args[0] if args else None)
        if not isinstance(given, Tensor):
            return None
        if not self.constant:
            self.hidden[module] = given
            return None
        return (
            (args, {**kwargs, name: self.hidden[module]})
            if name in kwargs
            else ((self.hidden[module], *args[1:]), kwargs)
        )

    def __call__(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> AttentionOutput:
        """Called in the place of attention."""
        self.seen.setdefault(module, {})[self.constant] = (query, key)
        mask_size = attention_mask.local_size if isinstance(attention_mask, LazyMask) else None
        self.local[module] = mask_size or kwargs.get("sliding_window")
        self.stock[module] = Stock(self.implementations[id(module.config)])
        lazy = isinstance(attention_mask, LazyMask)
        stock = self.stock[module] if lazy else Stock("eager")  # a real mask here is one for eager attention
        return stock(module, query, key, value, attention_mask, **kwargs)

    def told(self, source: Source) -> int:
        """The constant that a source's tokens are told in this pass."""
        index = self.sources.setdefault(source, len(self.sources))
        if self.constant < 0:
            return (CONSTANTS[1] + index) * (2 if self.constant == SLOWED else 1)
        return self.constant + index * (self.constant > 0)

    def anatomy(self) -> Anatomy:
        """What was seen."""
        if not self.seen:
            raise RefusalError(
                f"{type(self.model).__name__} does not call attention through transformers' interface: "
                "it cannot be extended"
            )
        layers = tuple(self._layer(module, seen) for module, seen in self.seen.items())
        if not any(layer.source for layer in layers):
            raise RefusalError(
                f"no attention layer of {type(self.model).__name__} turns with position: there is nothing to extend"
            )
        return Anatomy(self._base(), layers)

    def _base(self) -> PreTrainedModel:
        wanted = set(self.seen)
        holders = [m for m in self.model.modules() if isinstance(m, PreTrainedModel) and wanted <= set(m.modules())]
        return min(holders, key=lambda holder: sum(1 for _ in holder.modules()))

    def _layer(self, module: nn.Module, seen: dict[int, tuple[Tensor, Tensor]]) -> Layer:
        unturned = seen[0]
        num_heads, num_kv_heads = (x.shape[1] for x in unturned)
        rest = (self.local[module], self.stock[module].implementation, num_heads, num_kv_heads)
        if all(_close(seen[c], unturned) for c in CONSTANTS):
            return Layer(module, None, None, *rest)
        takes = {
            "steerable": _close(seen[SLOWED], seen[CONSTANTS[1]]),
            "gains": not _close(seen[GROWN], seen[CONSTANTS[1]]),
        }
        for source, index in self.sources.items():
            for layout in _layouts(source, unturned[0].shape[-1]):
                if all(_close(seen[c], _turned(unturned, source, layout, c + index)) for c in CONSTANTS[1:]):
                    return Layer(module, source, layout, *rest, **takes)
        if len(self.sources) == 1:
            (source,) = self.sources
            for layout in _layouts(source, unturned[0].shape[-1]):
                return Layer(module, source, layout, *rest, opaque=True, **takes)
        raise RefusalError(
            f"{type(module).__name__} turns its channels in a way that none of the known layouts explains"
        )


class _Tell:
    """A hook that tells all tokens of a rotary module one constant position."""

    def __init__(self, watch: _Watch, module: nn.Module) -> None:
        self.watch, self.arguments = watch, Arguments(module)
        if "position_ids" not in self.arguments.names:
            raise RefusalError(f"{type(module).__name__} takes no position_ids: its rotation cannot be steered")

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        positions = self.arguments.get("position_ids", args, kwargs)
        source = Source(module, self.arguments.get("layer_type", args, kwargs))
        return self.arguments.put("position_ids", torch.full_like(positions, self.watch.told(source)), args, kwargs)


def _layouts(source: Source, head_dim: int) -> Iterator[ChannelLayout]:
    rotary_dim = 2 * len(source.frequencies)
    if rotary_dim > head_dim:
        return
    for last in (False, True) if rotary_dim < head_dim else (False,):
        for backward in (False, True):
            yield ChannelLayout("half", rotary_dim, head_dim, last, backward)
            yield ChannelLayout("interleaved", rotary_dim, head_dim, last, backward)


def _turned(
    unturned: tuple[Tensor, Tensor], source: Source, layout: ChannelLayout, constant: int
) -> tuple[Tensor, Tensor]:
    spectrum = ModelSpectrum(
        own=tuple(source.frequencies.double().tolist()), layout=layout.pairing, partial=layout.partial
    )
    query, key = (
        _undo(rotate(layout.arrange(x.float()), _at(x, constant), spectrum.spectrum(x.shape[-1])), layout)
        for x in unturned
    )
    return query, key


def _undo(x: Tensor, layout: ChannelLayout) -> Tensor:
    order = layout.arrange(torch.arange(x.shape[-1], device=x.device).float()).long()
    return torch.empty_like(x).index_copy(-1, order, x)


def _at(x: Tensor, constant: int) -> Tensor:
    return torch.full((1, x.shape[2], 1), constant, device=x.device)


def _close(pair: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    tolerance = TOLERANCE[pair[0].dtype]
    return all(
        float((a.float() - b.float()).abs().max()) <= tolerance * float(b.float().abs().max())
        for a, b in zip(pair, other, strict=True)
    )


# --- a model at rest --------------------------------------------------------------------------------------------------


@contextmanager
def calm(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; each module's own mode comes back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def swap_configs(model: nn.Module) -> list[tuple[nn.Module, str, PreTrainedConfig]]:
    """Give a model configs of its own, so that a model which shares them stays as it is; returns what was there."""
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
    """Configs of the model's own for a while; yields each of them once."""
    swapped = swap_configs(model)
    try:
        own = {id(module.__dict__[name]): module.__dict__[name] for module, name, _ in swapped}
        yield list(own.values())
    finally:
        for module, name, value in swapped:
            module.__dict__[name] = value


def probe_tokens(model: nn.Module, rows: int, tokens: int) -> Tensor:
    """Some words of the vocabulary, special ones avoided; the same each time."""
    embedding = model.get_input_embeddings()  # type: ignore[operator]
    device = embedding.weight.device
    special = {word for config in _configs(model) for word in _special_words(config)}
    words = torch.tensor([word for word in range(min(embedding.num_embeddings, 4096)) if word not in special])
    drawn = torch.randint(len(words), (rows, tokens), generator=torch.Generator().manual_seed(0))
    return words[drawn].to("cpu" if device.type == "meta" else device)


def _special_words(config: PreTrainedConfig) -> Iterator[int]:
    for name, value in config.to_dict().items():
        if name.endswith(("_token_id", "_token_index")):
            yield from value if isinstance(value, list) else [value]


def _configs(model: nn.Module) -> list[PreTrainedConfig]:
    found = {id(c): c for m in model.modules() if isinstance(c := m.__dict__.get("config"), PreTrainedConfig)}
    return list(found.values())


def run_text(model: nn.Module, tokens: Tensor, attention_mask: Tensor | None = None) -> Any:
    """What a model returns without a cache."""
    return model(input_ids=tokens, attention_mask=attention_mask, use_cache=False)


def token_outputs(model: nn.Module, base: nn.Module, tokens: Tensor, attention_mask: Tensor) -> Tensor:
    """Logits of each token; the text model's hidden states where a head gives none, as one that labels whole texts.

    Arguments:
        base: the text model, a part of `model` or the model itself.
    """
    head = getattr(model, "get_output_embeddings", None)
    if head is None or head() is None:
        return run_text(base, tokens, attention_mask).last_hidden_state
    return run_text(model, tokens, attention_mask).logits
