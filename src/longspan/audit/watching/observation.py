"""Observing a model without weights: how it rotates, what its layers see, and what its cache holds.

The model is built from its config on the meta device, at full size and without weights, and its text part is run on a
few tokens. Rotary modules are then given values as transformers' loader gives them, and are called at a ladder of
lengths. Nothing here knows any family.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging

from longspan.audit.watching.held import Held, held_by, limit_of
from longspan.audit.watching.interface import Call, Watch
from longspan.audit.watching.reads import Reads
from longspan.errors import RefusalError

FREQUENCIES = "inv_freq"
LENGTHS = tuple(2**power for power in range(1, 23))
"""Lengths of a call at which rotary modules that follow the length are asked for their frequencies, tokens."""
EXPERTS = "batched_mm"
"""How experts are computed: transformers' only way that needs no values and works in every precision."""
QUIET = 50
"""The level of critical messages."""
SHORT, LONGER, FAR = 6, 10, 522
"""Tokens of the forward passes between which a cache's growth is measured: a window of 16 is longer than the first two,
and the last two differ by a multiple of every compression rate in use."""


@dataclass(frozen=True)
class Rotation:
    """One set of frequencies.

    Arguments:
        name: the rotary module's name in the model, and the layer type where it holds several sets.
        layer_type: key of `rope_parameters` where there is one set per layer type; None otherwise.
        kind: rope_type of the module, "default" where it has none.
        frequencies: radians per token, one per channel pair; zero for pairs that do not rotate.
        gain: factor on cosine and sine.
        changes: for modules that follow the length, (length, frequencies) at every length of a call, of those doubling
            from 2, at which they are others than at the one before.
        layers: numbers of the attention layers whose queries it rotates; empty where the layers could not be watched.
        asked: calls the module for so many tokens and returns its frequencies; None for one that does not follow the
            length.
    """

    name: str
    layer_type: str | None
    kind: str
    frequencies: tuple[float, ...]
    gain: float
    changes: tuple[tuple[int, tuple[float, ...]], ...] = ()
    layers: tuple[int, ...] = ()
    asked: Callable[[int], tuple[float, ...]] | None = field(default=None, compare=False, repr=False)

    def at(self, length: int) -> tuple[float, ...]:
        """The frequencies during a call of so many tokens, after no other call."""
        return self.frequencies if self.asked is None else self.asked(length)

    def first_changes(self) -> Iterator[int]:
        """The first length of a call within each doubling at which the frequencies are others than at its start."""
        for end, _ in self.changes:
            low, high = end // 2, end  # others at `high`, and not at `low`
            at_start = self.at(low)
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if self.at(middle) == at_start else (low, middle)
            yield high


@dataclass(frozen=True)
class Layer:
    """One layer.

    Arguments:
        number: its place in the model, from 0.
        kind: its layer type, as "full_attention", "sliding_attention", "linear_attention".
        rotates: whether its queries or keys are rotated.
        num_heads, num_kv_heads: of the attention function's arguments; 0 for a layer without softmax attention.
        head_dim, value_dim: channels of one query and of one value; 0 for a layer without softmax attention.
        scaling: factor on the scores that the attention function is given.
        window: tokens that the model's mask builder was given; None where it sees everything.
        seen: the most keys up to itself that a query sees by its mask function, itself included; None where unlimited.
        ahead: the most keys after itself that a query sees.
    """

    number: int
    kind: str
    rotates: bool = False
    num_heads: int = 0
    num_kv_heads: int = 0
    head_dim: int = 0
    value_dim: int = 0
    scaling: float | None = None
    window: int | None = None
    seen: int | None = None
    ahead: int = 0

    def window_within(self, length: int) -> int | None:
        """The window, where a text of so many tokens reaches beyond it; None where it sees all of the text."""
        return None if self.window is None or self.window >= length else self.window


@dataclass(frozen=True)
class Observation:
    """What was seen.

    Arguments:
        rotations: sets of frequencies; equal ones are one.
        layers: in order.
        cache: what each layer's cache holds; empty where the cache could not be measured.
        weights: weights that one token is multiplied by, by layer types' sum: all matrices but the embedding.
        hidden_size: channels of the hidden state.
        unwatched: why layers and cache are unknown; empty where they are known.
        reads: keys of `rope_parameters` that were read while the model was built, each with the keys that lead to it.
        limits: window of each layer's cache, tokens; None for a cache that keeps everything.
    """

    rotations: tuple[Rotation, ...]
    layers: tuple[Layer, ...]
    cache: tuple[Held, ...]
    weights: float
    hidden_size: int
    unwatched: str = ""
    reads: frozenset[tuple[str, ...]] = frozenset()
    limits: tuple[int | None, ...] = ()

    def position_facts(self) -> tuple[object, ...]:
        """All that a field about positions could change; two configs with equal facts treat positions alike."""
        return self.rotations, self.layers, self.limits


def observe(config: PreTrainedConfig, *, cache: bool = True) -> Observation:
    """Build the model of a config without weights and watch it.

    Arguments:
        cache: whether the growth of the cache is measured too, by two more forward passes.

    Errors: RefusalError where transformers cannot build the model, or builds one with frequencies that are no numbers.
    """
    with silent(), torch.no_grad():
        config, noted = copy.deepcopy(config), set()
        described = config.get_text_config(decoder=True)
        if isinstance(rope := getattr(described, "rope_parameters", None), dict):
            described.rope_parameters = Reads(rope, noted)
        model = _built(config)
        text = text_model(model)
        with Watch(model, text) as watch:
            passes = _passes(text, (SHORT, LONGER, FAR) if cache else (LONGER,))
        unwatched = passes if isinstance(passes, str) else ""
        if isinstance(passes, str):
            passes = []
        calls = [] if unwatched else watch.calls
        layers = _layers(text.config, calls, passes)
        rotations = _rotations(model, watch, {id(call.module): number for number, call in _numbered(calls)})
        if not all(isfinite(number) for rotation in rotations for number in (*rotation.frequencies, rotation.gain)):
            raise RefusalError(
                "transformers builds a model whose rotary frequencies are not finite: look at rope_theta"
            )
        held = tuple(held_by(passes)) if len(passes) > 1 else ()
        limits = tuple(limit_of(layer) for layer in passes[0][1]) if passes else ()
        size = getattr(text.config, "hidden_size", 0) or 0
        return Observation(
            rotations, layers, held, active_weights(text, model), size, unwatched, frozenset(noted), limits
        )


@contextmanager
def silent() -> Iterator[None]:
    """Keep transformers' and Python's warnings off the terminal: what they would say is what an audit finds."""
    level = logging.get_verbosity()
    logging.set_verbosity(QUIET)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)


def _built(config: PreTrainedConfig) -> PreTrainedModel:
    maker: Any = AutoModelForCausalLM if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else AutoModelForImageTextToText
    how: dict[str, Any] = {"attn_implementation": "eager", "experts_implementation": EXPERTS}
    try:
        with torch.device("meta"):
            return maker.from_config(config, dtype=config.dtype or torch.bfloat16, **how).eval()
    except Exception as error:  # whatever a constructor raises on values that make no sense
        raise RefusalError(f"transformers cannot build the model: {type(error).__name__}: {error}") from error


def text_model(model: PreTrainedModel) -> PreTrainedModel:
    """The part of a model that reads text: the outermost model with the text config."""
    wanted = model.config.get_text_config(decoder=True)
    parts = (part for part in model.modules() if isinstance(part, PreTrainedModel) and part.config is wanted)
    return next(parts, model)


def _passes(text: PreTrainedModel, lengths: tuple[int, ...]) -> list[tuple[int, list[Any]]] | str:
    """The cache's layers after a forward pass of each length, or why there is none."""
    found = []
    for length in lengths:
        try:
            tokens = torch.zeros(1, length, dtype=torch.long, device="meta")
            cache = getattr(text(input_ids=tokens, use_cache=True), "past_key_values", None)
        except Exception as error:  # operations that need values
            return f"{type(text).__name__} cannot be run without weights ({type(error).__name__})"
        found.append((length, list(getattr(cache, "layers", ()))))
    return found


def _numbered(calls: list[Call]) -> Iterator[tuple[int, Call]]:
    """Calls of the first pass with the number of their layer."""
    seen: set[int] = set()
    for call in calls:
        if id(call.module) in seen:
            continue
        number = getattr(call.module, "layer_idx", None)
        yield (number if isinstance(number, int) else len(seen)), call
        seen.add(id(call.module))


def _layers(config: PreTrainedConfig, calls: list[Call], passes: list[tuple[int, list[Any]]]) -> tuple[Layer, ...]:
    kinds = list(getattr(config, "layer_types", None) or ())
    found = {}
    for number, call in _numbered(calls):
        window = call.pattern.local_size if call.pattern else call.sliding_window
        visible = call.pattern.visible() if call.pattern else None
        plain = "full_attention" if window is None else "sliding_attention"
        found[number] = Layer(
            number=number,
            kind=kinds[number] if number < len(kinds) else plain,
            rotates=bool(call.sources),
            num_heads=call.query[1],
            num_kv_heads=call.key[1],
            head_dim=call.query[3],
            value_dim=call.value[3],
            scaling=call.scaling,
            window=window,
            seen=visible[0] if visible else None,
            ahead=visible[1] if visible else 0,
        )
    caches = passes[0][1] if passes else []
    for number in range(max(len(kinds), len(caches))):
        if number not in found:
            found[number] = Layer(number, kinds[number] if number < len(kinds) else _kind_of(caches[number]))
    return tuple(found[number] for number in sorted(found))


def _kind_of(cache: Any) -> str:
    """A layer type for a layer that does not call attention through the interface."""
    return "linear_attention" if type(cache).__name__.startswith("LinearAttentionLayer") else "full_attention"


def rotary_modules(model: nn.Module) -> dict[nn.Module, str]:
    """Modules that hold frequencies, with their names."""
    return {
        module: name
        for name, module in model.named_modules()
        if any(buffer.endswith(FREQUENCIES) for buffer, _ in module.named_buffers(recurse=False))
    }


def _rotations(model: PreTrainedModel, watch: Watch, numbers: dict[int, int]) -> tuple[Rotation, ...]:
    """Distinct sets of frequencies of the text part, each with the layers that it rotates."""
    names = rotary_modules(model)
    for module in names:
        module.to_empty(device="cpu")
        for buffer in module.buffers(recurse=False):
            buffer.zero_()
        model._init_weights(module)  # as transformers' loader gives values to what no checkpoint holds
    layers: dict[tuple[nn.Module, str | None], set[int]] = {}
    for call in watch.calls:
        for source in call.sources:
            if id(call.module) in numbers:
                layers.setdefault(source, set()).add(numbers[id(call.module)])
    merged: dict[tuple[object, ...], Rotation] = {}
    for source in watch.sources or _all_sources(names, watch.text):
        found = _rotation(
            source, names[source[0]], watch.positions.get(source, 2), tuple(sorted(layers.get(source, ())))
        )
        same = (found.layer_type, found.kind, found.frequencies, found.gain, found.changes)
        if same in merged:
            found = replace(merged[same], layers=tuple(sorted({*merged[same].layers, *found.layers})))
        merged[same] = found
    return tuple(merged.values())


def _all_sources(names: dict[nn.Module, str], text: nn.Module) -> list[tuple[nn.Module, str | None]]:
    """Sets of frequencies of a text model that could not be run: of the modules that share its config."""
    found: list[tuple[nn.Module, str | None]] = []
    for module in names:
        if getattr(module, "config", None) is not text.config:
            continue
        buffers = [name for name, _ in module.named_buffers(recurse=False) if name.endswith(FREQUENCIES)]
        names_of_types = (
            name.removesuffix(FREQUENCIES).removesuffix("_") for name in buffers if "original" not in name
        )
        found.extend((module, layer_type or None) for layer_type in names_of_types)
    return found


def _rotation(source: tuple[nn.Module, str | None], name: str, dims: int, layers: tuple[int, ...]) -> Rotation:
    module, layer_type = source
    prefix = "" if layer_type is None else f"{layer_type}_"
    kind: Any = getattr(module, "rope_type", "default")
    kind = kind.get(layer_type, "default") if isinstance(kind, dict) else kind

    def frequencies_of(called: nn.Module) -> tuple[float, ...]:
        return tuple(getattr(called, f"{prefix}{FREQUENCIES}").double().flatten().tolist())

    def asked(length: int) -> tuple[float, ...]:
        """What a call of so many tokens rotates with, whatever calls came before: dynamic scaling keeps the longest."""
        called = copy.deepcopy(module, {id(kept): kept for kept in (getattr(module, "config", None),)})
        _call(called, layer_type, length, dims)
        return frequencies_of(called)

    follows = "dynamic" in kind or kind == "longrope"
    first, changes = frequencies_of(module), []
    latest = first
    for length in LENGTHS if follows else ():
        if (found := asked(length)) != latest:
            latest = found
            changes.append((length, latest))
    gain = float(getattr(module, f"{prefix}attention_scaling", 1.0))
    label = name if layer_type is None else f"{name}[{layer_type}]"
    return Rotation(label, layer_type, kind, first, gain, tuple(changes), layers, asked if follows else None)


def _call(module: nn.Module, layer_type: str | None, length: int, dims: int) -> None:
    """Call a rotary module for the first and the last of so many tokens."""
    positions = torch.tensor([[0, length - 1]])
    positions = positions.expand(3, 1, 2) if dims == 3 else positions
    arguments = (torch.zeros(1, 2, 8), positions)
    module(*arguments) if layer_type is None else module(*arguments, layer_type)


def active_weights(text: nn.Module, model: nn.Module) -> float:
    """Weights that one token is multiplied by: matrices outside the embedding, of experts those that it is sent to.

    Experts are three-dimensional parameters whose first size is their number.
    """
    config: Any = text.config
    chosen = next(
        (value for name in CHOSEN if isinstance(value := getattr(config, name, None), int) and value > 0), None
    )
    embeddings = {id(part.weight) for part in text.modules() if isinstance(part, nn.Embedding)}
    matrices = {id(weight): (name, weight) for name, weight in text.named_parameters() if id(weight) not in embeddings}
    head = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
    if head is not None:  # tied to the embedding or not, each token is multiplied by it
        matrices[id(head.weight)] = ("head", head.weight)
    total = 0.0
    for name, weight in matrices.values():
        if weight.ndim == 2:
            total += weight.numel()
        elif weight.ndim == 3 and "expert" in name:
            total += weight.numel() / weight.shape[0] * min(chosen or weight.shape[0], weight.shape[0])
    return total


CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts", "experts_per_token")
"""Names under which configs give the number of experts that a token is sent to."""
