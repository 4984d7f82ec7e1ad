"""How other runtimes are told of an extension: their flags, or what comes nearest to what they cannot say.

vLLM takes any fixed frequencies as a LongRoPE config; llama.cpp takes a linear factor, another base, and YaRN.
"""

import json
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from longspan.distance.true import TrueDistance
from longspan.errors import LongspanError, RefusalError, SchemeError
from longspan.plan import Plan
from longspan.pretrained.inspect import geometry, rope_parameters
from longspan.pretrained.layout import ChannelLayout
from longspan.pretrained.wanted import Target, close, names_rotation
from longspan.rotation.yarn import YaRN
from longspan.scheme import Scheme
from longspan.slots import Rotation, geometric

FAR = 2**40
"""Tokens that no text has."""
SAME = 1e-6
"""Relative difference below which two sets of frequencies are one."""


@dataclass(frozen=True)
class Told:
    """What one runtime is told.

    Arguments:
        runtime: its name.
        flags: its command line's words; empty where it cannot express the method.
        reason: why not; empty where it can.
        nearest: the scheme it can express that comes nearest, as text; empty where it can express the method itself.
    """

    runtime: str
    flags: tuple[str, ...] = ()
    reason: str = ""
    nearest: str = ""


def tell(config: PreTrainedConfig, scheme: Plan | Scheme | str, length: int | None = None) -> tuple[Told, ...]:
    """What vLLM and llama.cpp are told for a model under a scheme.

    Errors: as of `extend`; RefusalError where the config names no rotary base; SchemeError for a length or a factor
    that no runtime takes.
    """
    if length is not None and not 1 <= length <= FAR:
        raise SchemeError(f"the number of tokens to read must be 1 … {FAR}, got {length}")
    text = config.get_text_config(decoder=True)
    size = geometry(config)
    if size.theta is None:
        raise RefusalError(f"{type(config).__name__} names no rope_theta: there is no rotation to tell of")
    partial = float(rope_parameters(config).get("partial_rotary_factor", 1.0))
    layout = ChannelLayout("half", int(size.head_dim * partial), size.head_dim)
    try:
        plan = close(scheme, Target(size, layout, length), text.num_hidden_layers)
        _require_finite(plan, layout)
        return tuple(_told(runtime, plan, text, layout, length) for runtime in ("vllm", "llama.cpp"))
    except LongspanError:
        raise
    except (ArithmeticError, ValueError, RuntimeError) as error:  # nothing but numbers is computed here
        raise SchemeError(f"{scheme}: a number is too large or too small ({error}): change it") from None


def _require_finite(plan: Plan, layout: ChannelLayout) -> None:
    """Raise unless every frequency and gain is a number that JSON holds."""
    for rotation in {scheme.rotation for scheme in plan.schemes}:
        if not (isfinite(rotation.gain) and rotation.frequencies(layout.rotary_dim).isfinite().all()):
            raise SchemeError(f"{rotation.name}: its numbers give frequencies that are not finite: lower them")


def _told(runtime: str, plan: Plan, text: PreTrainedConfig, layout: ChannelLayout, length: int | None) -> Told:
    trained = geometry(text).trained_length
    reason = _not_fixed(plan)
    if not reason:
        rotation = plan.schemes[0].rotation
        reach = _reach(rotation, trained, length)
        if runtime == "vllm":
            return Told(runtime, _vllm(rotation, text, layout, reach))
        flags = _llama_cpp(rotation, geometry(text).theta or 0.0, layout, reach)
        if flags:
            return Told(runtime, flags)
        reason = f"llama.cpp takes a linear factor, another base or YaRN, and {rotation.name} is none of them"
    factor = max(1.0, (length or 4 * trained) / trained)
    return Told(runtime, reason=reason, nearest=f"yarn(factor={factor:g})")


def _reach(rotation: Rotation, trained: int, length: int | None) -> int:
    """The length that a runtime reads up to."""
    factor = getattr(rotation, "factor", None) or 1.0
    if not trained * factor <= FAR:
        raise SchemeError(f"{rotation.name}: factor {factor!r} times {trained} tokens is more than {FAR}: lower it")
    return max(length or 0, int(trained * factor))


def _not_fixed(plan: Plan) -> str:
    """Why a plan is more than fixed frequencies for all layers."""
    scheme = plan.schemes[0]
    if len(set(plan.schemes)) > 1:
        return "layers differ, which no runtime's flags can say"
    plain = Scheme(rotation=scheme.rotation)
    if scheme != plain:
        slots = ("distance", "scale", "mask")
        named = next(part for slot in slots if (part := getattr(scheme, slot)) != getattr(plain, slot))
        what = "says other distances" if scheme.distance != TrueDistance() else "changes more than frequencies"
        return f"{named.name} {what}, which no runtime's flags can say"
    if len(scheme.rotation.segments(FAR)) > 1:
        return (
            f"{scheme.rotation.name} changes its frequencies with length, row by row, which no runtime's flags can say"
        )
    return ""


def _vllm(rotation: Rotation, text: PreTrainedConfig, layout: ChannelLayout, reach: int) -> tuple[str, ...]:
    if not names_rotation(Scheme(rotation=rotation)):
        return ("--max-model-len", str(reach))
    overrides = {
        "rope_parameters": longrope(rotation, text, layout.rotary_dim, reach),
        "max_position_embeddings": reach,
    }
    return ("--hf-overrides", json.dumps(overrides), "--max-model-len", str(reach))


def longrope(rotation: Rotation, text: PreTrainedConfig, rotary_dim: int, reach: int) -> dict[str, Any] | None:
    """Any fixed frequencies as a LongRoPE with equal short and long factors; None for pairs that do not turn."""
    present = rope_parameters(text)
    theta, frequencies = present.get("rope_theta"), rotation.frequencies(rotary_dim)
    if theta is None or not frequencies.all():
        return None
    factors = (geometric(float(theta), rotary_dim) / frequencies).tolist()
    kept = {name: present[name] for name in ("rope_theta", "partial_rotary_factor") if name in present}
    return {
        **kept,
        "rope_type": "longrope",
        "short_factor": factors,
        "long_factor": factors,
        "factor": reach / text.max_position_embeddings,
        "original_max_position_embeddings": text.max_position_embeddings,
        "attention_factor": rotation.gain,
        # vLLM reads the gain under these names.
        "short_mscale": rotation.gain,
        "long_mscale": rotation.gain,
    }


def _llama_cpp(rotation: Rotation, theta: float, layout: ChannelLayout, reach: int) -> tuple[str, ...]:
    context = ("-c", str(reach))
    frequencies = rotation.frequencies(layout.rotary_dim) if names_rotation(Scheme(rotation=rotation)) else None
    if frequencies is None:
        return context
    plain = geometric(theta, layout.rotary_dim)
    if rotation.gain == 1.0:
        if _same(frequencies, plain / (factor := float(plain[0] / frequencies[0]))):
            return (*context, "--rope-scaling", "linear", "--rope-scale", f"{factor:g}")
        base = float(frequencies[-1]) ** (-layout.rotary_dim / (layout.rotary_dim - 2))
        if _same(frequencies, geometric(base, layout.rotary_dim)):
            return (*context, "--rope-freq-base", f"{base:.9g}")
    if isinstance(rotation, YaRN) and rotation.ramp == "index" and rotation.theta == theta:
        length = ("--yarn-orig-ctx", str(rotation.trained_length))
        ramp = ("--yarn-beta-fast", f"{rotation.fast:g}", "--yarn-beta-slow", f"{rotation.slow:g}")
        return (*context, "--rope-scaling", "yarn", "--rope-scale", f"{rotation.factor:g}", *length, *ramp)
    return ()


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=SAME, atol=0.0)
