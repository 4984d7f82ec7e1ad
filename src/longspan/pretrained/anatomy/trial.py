"""Trial passes: a model reads a short text several times, and its queries and keys are recorded.

In each pass, every token is given the same position. Distances are then zero, hidden states do not depend on which
position it was, and the queries of two passes differ by their rotation alone.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from longspan.pretrained.anatomy.private_configs import private_configs
from longspan.pretrained.anatomy.sample_text import evaluating, run_text, sample_tokens
from longspan.pretrained.running.arguments import Arguments
from longspan.pretrained.running.attention import LAYER, UNUSUAL, AttentionOutput, Stock
from longspan.pretrained.running.hooks import arguments_of_rotary
from longspan.pretrained.running.mask import LazyMask
from longspan.pretrained.running.rotary import Source

TOKENS = 6

QueryAndKey = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Setting:
    """How one trial pass is run.

    Arguments:
        position: of all tokens under the first source; one more under each further source, so that sources can be
            distinguished. At zero no source rotates.
        slower: frequencies are divided by this and positions multiplied: what follows them rotates as far as before.
        gain: a factor on the gains of all sources that can be given one.
    """

    position: int
    slower: int = 1
    gain: float = 1.0

    def position_of(self, index: int) -> int:
        """Return the position under a source, given its number."""
        return (self.position + index) * self.slower if self.position else 0


UNROTATED = Setting(0)
NEAR, FAR = Setting(3), Setting(251)
SLOWED = Setting(3, slower=2)
GROWN = Setting(3, gain=2.0)


@dataclass(eq=False)
class Observation:
    """What one attention module did in the trial passes.

    Arguments:
        implementation: the attention function that it calls by itself.
        local_size: sliding window or chunk, tokens; None where it sees everything.
        causal: whether a token sees those before it alone.
        answers: names of the arguments by which it answers slots itself (`UNUSUAL`).
        passes: its queries and keys in each pass, (1, heads, tokens, head_dim).
    """

    module: nn.Module
    implementation: str
    local_size: int | None
    causal: bool
    answers: tuple[str, ...]
    passes: dict[Setting, QueryAndKey] = field(default_factory=dict)


def run_trial(model: nn.Module, rotary: Iterable[nn.Module], implementation: str) -> "Trial":
    """Run the trial passes.

    Arguments:
        rotary: the rotary modules of the model.
        implementation: the name under which transformers finds our attention function.
    """
    rotary = list(rotary)
    with private_configs(model) as configs, evaluating(model), torch.no_grad():
        trial = Trial({id(config): str(config._attn_implementation) for config in configs})
        for config in configs:
            config._attn_implementation_internal = implementation
        tokens = sample_tokens(model, 1, TOKENS)
        with trial.watching(model, rotary), _fixed(rotary):
            for setting in (UNROTATED, NEAR, FAR, SLOWED, GROWN):
                with _changed(trial.sources, setting):
                    trial.setting = setting
                    run_text(model, tokens)
    return trial


class Trial:
    """Records queries and keys at the attention interface while rotary modules are given constant positions.

    Arguments:
        implementations: the attention function of each config, by the config's id.
    """

    def __init__(self, implementations: dict[int, str]) -> None:
        self.setting = UNROTATED
        self.sources: dict[Source, int] = {}
        self.observations: dict[nn.Module, Observation] = {}
        self._implementations = implementations
        self._hidden: dict[nn.Module, Tensor] = {}

    @contextmanager
    def watching(self, model: nn.Module, rotary: Iterable[nn.Module]) -> Iterator[None]:
        """Take the place of attention, steer rotary modules, and repeat hidden states while the context lasts."""
        constants = {module: _ConstantPositions(self, module) for module in rotary}  # raises before anything is changed
        holders = [m for m in model.modules() if isinstance(m.__dict__.get("config"), PreTrainedConfig)]
        hooks = [module.register_forward_pre_hook(hook, with_kwargs=True) for module, hook in constants.items()]
        hooks += [module.register_forward_pre_hook(self._repeat, with_kwargs=True) for module in holders]
        for module in holders:
            module.__dict__[LAYER] = self
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for module in holders:
                module.__dict__.pop(LAYER, None)

    def __call__(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> AttentionOutput:
        """Record queries and keys, and attend as the module does by itself."""
        lazy = isinstance(attention_mask, LazyMask)
        if module not in self.observations:
            local_size = (attention_mask.local_size if lazy else None) or kwargs.get("sliding_window")
            implementation = self._implementations[id(module.config)]
            causal = attention_mask.causal if lazy else getattr(module, "is_causal", True)
            answers = tuple(name for name in UNUSUAL if kwargs.get(name) is not None)
            self.observations[module] = Observation(module, implementation, local_size, bool(causal), answers)
        found = self.observations[module]
        found.passes[self.setting] = (query, key)
        stock = Stock(found.implementation if lazy else "eager")  # a real mask here is one for eager attention
        return stock(module, query, key, value, attention_mask, **kwargs)

    def position_of(self, source: Source) -> int:
        """Return the position that a source's tokens are given in this pass."""
        return self.setting.position_of(self.sources.setdefault(source, len(self.sources)))

    def _repeat(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        """Give an attention module the hidden states of the first pass, whatever rounding did in the layers below."""
        name = "hidden_states"
        given = kwargs.get(name, args[0] if args else None)
        if not isinstance(given, Tensor):
            return None
        if self.setting == UNROTATED:
            self._hidden[module] = given
            return None
        if module not in self.observations:
            return None
        hidden = self._hidden[module]
        return (args, {**kwargs, name: hidden}) if name in kwargs else ((hidden, *args[1:]), kwargs)


class _ConstantPositions:
    """A hook that gives all tokens of a rotary module one position."""

    def __init__(self, trial: Trial, module: nn.Module) -> None:
        self.trial = trial
        self.arguments: Arguments = arguments_of_rotary(module)

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        given = self.arguments.get("position_ids", args, kwargs)
        source = Source(module, self.arguments.get("layer_type", args, kwargs))
        constant = torch.full_like(given, self.trial.position_of(source))
        return self.arguments.put("position_ids", constant, args, kwargs)


@contextmanager
def _fixed(rotary: Iterable[nn.Module]) -> Iterator[None]:
    """Let rotary modules keep their frequencies, although positions are beyond the length at which they change them."""
    kinds = {module: kind for module in rotary if (kind := module.__dict__.get("rope_type")) is not None}
    for module, kind in kinds.items():
        module.__dict__["rope_type"] = dict.fromkeys(kind, "default") if isinstance(kind, dict) else "default"
    try:
        yield
    finally:
        for module, kind in kinds.items():
            module.__dict__["rope_type"] = kind


@contextmanager
def _changed(sources: Iterable[Source], setting: Setting) -> Iterator[None]:
    """Change frequencies and gains of all sources as a setting says; a source that holds no gain keeps its own."""
    installed = []
    if setting.slower != 1 or setting.gain != 1:
        for source in sources:
            larger = setting.gain * source.gain
            gain = larger if source.holds(larger) else source.gain
            installed.append(source.install(source.frequencies / setting.slower, gain))
    try:
        yield
    finally:
        for each in installed:
            each.remove()
