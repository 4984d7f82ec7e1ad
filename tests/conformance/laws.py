"""Three laws of a named method on a checkpoint, rescaled before or not.

Neutral: a method in its neutral setting is the checkpoint. Own: the checkpoint's own rescaling, named bare, is the
checkpoint. Reach: what is saved and what runtimes are given is the length that was asked for.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

import longspan
from conformance.reviewed import reason
from longspan.errors import LongspanError
from longspan.pretrained import attach
from longspan.pretrained.anatomy.config import rope_origin
from longspan.pretrained.anatomy.rescaling import Origin
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.running.rotary import rotary_modules
from longspan.pretrained.storing.export import stock_config
from longspan.pretrained.storing.runtimes import runtime_flags
from longspan.pretrained.target import target_of
from pretrained.models import logits

FAR = 1000
"""Tokens: longer than every text of the tests."""
NEUTRAL = (
    "rope",
    "linear(factor=1)",
    "ntk(factor=1, variant=aware)",
    "ntk(factor=1, variant=base)",
    "ntk(factor=1, variant=fixed)",
    "ntk_mixed(factor=1)",
    "ntk_by_parts(factor=1)",
    f"dynamic_ntk(trained_length={FAR})",
    "yarn(factor=1)",
    "longrope(factor=1)",
    "llama3(factor=1)",
    f"rerope(window={FAR})",
    f"leaky_rerope(window={FAR}, k=2)",
    "leaky_rerope(window=6, k=1)",
    f"self_extend(window={FAR}, group=2)",
    "self_extend(window=6, group=1)",
    f"dual_chunk(chunk={FAR}, local={FAR // 4})",
    f"window(size={FAR})",
    f"window(size={FAR}, sinks=2)",
    f"streaming_llm(sinks=2, size={FAR})",
    f"lm_infinite(window={FAR}, sinks=2)",
    f"log_length(trained_length={FAR})",
    f"yarn(factor=1) + rerope(window={FAR}) + log_length(trained_length={FAR})",
)
"""Every method of the catalogue that needs no training, set to change nothing."""
NEARLY = tuple(method.replace("factor=1", "factor=1.0000001") for method in NEUTRAL if "factor=1" in method)
"""The same through their formulas: a factor of exactly 1 leaves the model's own frequencies where they are."""
SAME = 1e-6
"""Of the logits' deviation, in float64."""
ROUNDED = 1e-3
"""The same for frequencies that are rounded to float32, and for models in float32."""


def laws(model: PreTrainedModel, words: Tensor) -> dict[str, str]:
    """For each law "pass", or what broke it; a law that has nothing to say on this model is left out."""
    with precise(model):
        plain = logits(model, words)
        found = {"neutral": _neutral(model, words, plain), "own": _own(model, words, plain), "reach": _reach(model)}
    return {name: "; ".join(broken) or "pass" for name, broken in found.items() if broken is not None}


def apart(found: Tensor, expected: Tensor) -> float:
    """In units of the deviation."""
    return float((found - expected).abs().max() / expected.std())


def _neutral(model: PreTrainedModel, words: Tensor, plain: Tensor) -> list[str] | None:
    tolerance = dict.fromkeys(NEUTRAL, SAME if plain.dtype == torch.float64 else ROUNDED)
    if not _origin(model).rescaled:  # of a rescaled one, any other factor starts from the original model
        tolerance |= dict.fromkeys(NEARLY, ROUNDED)
    found = {method: _moved(model, words, plain, method, FAR) for method in tolerance}
    taken = {method: by for method, by in found.items() if by is not None}
    return [f"{method} {by:.1e}" for method, by in taken.items() if not by <= tolerance[method]] if taken else None


def _own(model: PreTrainedModel, words: Tensor, plain: Tensor) -> list[str] | None:
    """The checkpoint's rescaling, read off its far layers, once without a length and once with the checkpoint's."""
    start = _origin(model)
    if start.own is None or not start.rescaled:
        return None
    name = start.own.name
    found = {length: _moved(model, words, plain, name, length) for length in (None, start.trained_length)}
    return [f"{name} to {length} {by}" for length, by in found.items() if by is None or not by <= ROUNDED]


def _origin(model: PreTrainedModel) -> Origin:
    return target_of(attach.probe(model), None).origin


def _reach(model: PreTrainedModel) -> list[str] | None:
    start = rope_origin(model.config)
    broken, asked = [], 0
    for method in ("linear", "ntk", "yarn", "longrope", "llama3"):
        for length in (start.trained_length, 4 * start.trained_length):
            try:
                with longspan.attached(model, method, length=length):
                    stock = stock_config(attachment_of(model))  # type: ignore[arg-type]
                saved = length if stock is None else stock["max_position_embeddings"]
                printed = [word for each in runtime_flags(model.config, method, length) for word in each.flags]
            except LongspanError:
                continue
            asked += 1
            flags = {name: printed[printed.index(name) + 1] for name in ("--max-model-len", "-c") if name in printed}
            if saved != length or any(value != str(length) for value in flags.values()):
                broken.append(f"{method} to {length}: saved {saved}, printed {json.dumps(flags)}")
    return broken if asked else None


def _moved(model: PreTrainedModel, words: Tensor, plain: Tensor, method: str, length: int | None) -> float | None:
    """What a method changes; None where it is refused for a reviewed reason."""
    try:
        with longspan.attached(model, method, length=length):
            return apart(logits(model, words), plain)
    except LongspanError as error:
        if reason(str(error)) is None:
            raise
        return None


@contextmanager
def precise(model: nn.Module) -> Iterator[None]:
    """Angles and scores in float64 in the model's own modules, some of which ask for float32 whatever its dtype."""
    modules = {*rotary_modules(model), *(m for m in model.modules() if type(m).__name__.endswith("Attention"))}
    with mock.patch.multiple(nn.Module, __call__=_in_double(modules, nn.Module.__call__)):
        yield


def _in_double(modules: set[nn.Module], called: Any) -> Any:
    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        given = (*args, *kwargs.values())
        if self not in modules or not any(isinstance(x, Tensor) and x.dtype == torch.float64 for x in given):
            return called(self, *args, **kwargs)
        with _Double():
            return called(self, *args, **kwargs)

    return call


class _Double(TorchFunctionMode):
    """Whoever asks for float32 is given float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float:
            return args[0].double()
        given = {name: torch.float64 if value is torch.float32 else value for name, value in (kwargs or {}).items()}
        return func(*(torch.float64 if each is torch.float32 else each for each in args), **given)
