"""Flags under which other runtimes run a model with an extension, or the nearest scheme that they can express.

vLLM and SGLang take any fixed frequencies as a LongRoPE config; llama.cpp takes a linear factor, another base, and
YaRN.

Source: for SGLang sgl-project/sglang, srt/utils/hf_transformers/config.py (overrides are merged into the config, and
the context length is that of `max_position_embeddings` where a rescaling names its original length) and
srt/layers/rotary_embedding/factory.py (`longrope` reads the names that vLLM reads).
"""

import json
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, TypeGuard

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from longspan.errors import LongspanError, RefusalError, SchemeError
from longspan.plan import Plan
from longspan.pretrained.anatomy.config import geometry, rope_origin, rope_parameters
from longspan.pretrained.anatomy.layout import ChannelLayout
from longspan.pretrained.anatomy.rescaling import Origin
from longspan.pretrained.resolve import names_rotation, resolve
from longspan.pretrained.target import Target
from longspan.rotation.yarn import YaRN
from longspan.scheme import Scheme
from longspan.slots import Rotation, geometric

FAR = 2**40
"""Tokens: more than any text has."""
FACTORS = ("llama3", "longrope", "proportional")
"""Kinds of rescaling that the converter to GGUF writes as one factor per pair (`rope_freqs`)."""
SAME = 1e-6
"""The relative difference up to which two sets of frequencies count as equal."""


@dataclass(frozen=True)
class RuntimeFlags:
    """The flags of one runtime for a model under a scheme.

    Arguments:
        runtime: its name.
        flags: the words of its command line; empty where it cannot express the scheme.
        reason: why it cannot; empty where it can.
        nearest: as text, the nearest scheme that it can express; empty where it can express the scheme itself, or none.
        note: what else is needed for the flags to have their effect; empty where nothing is.
    """

    runtime: str
    flags: tuple[str, ...] = ()
    reason: str = ""
    nearest: str = ""
    note: str = ""


def runtime_flags(
    config: PreTrainedConfig, scheme: Plan | Scheme | str, length: int | None = None
) -> tuple[RuntimeFlags, ...]:
    """Return the flags of vLLM, of llama.cpp and of SGLang for a model under a scheme.

    Arguments:
        length: tokens to read.

    Errors: those of `extend`; RefusalError where the config names no rotary base; SchemeError for a length or a factor
    that no runtime takes.
    """
    if length is not None and not 1 <= length <= FAR:
        raise SchemeError(f"the number of tokens to read must be 1 … {FAR}, got {length}")
    text = config.get_text_config(decoder=True)
    size, start = geometry(config), rope_origin(config)
    if size.theta is None:
        raise RefusalError(
            f"{type(config).__name__} names no rope_theta: it has no rotation that a runtime could change"
        )
    partial = 1.0 if _kind(config) == "proportional" else float(rope_parameters(config).get("partial_rotary_factor", 1))
    layout = ChannelLayout("half", int(size.head_dim * partial), size.head_dim)
    target = Target(size, layout, start, length, start.unknown(_kind(config)))
    try:
        plan = resolve(scheme, target, text.num_hidden_layers)
        _require_finite(plan, layout)
        return tuple(_flags(runtime, plan, config, target) for runtime in FLAGS)
    except LongspanError:
        raise
    except (ArithmeticError, ValueError, RuntimeError) as error:  # only numbers are computed here
        raise SchemeError(f"{scheme}: a number is too large or too small ({error}): change it") from None


def _require_finite(plan: Plan, layout: ChannelLayout) -> None:
    """Raise unless every frequency and gain is finite, as JSON needs it."""
    for rotation in {scheme.rotation for scheme in plan.schemes}:
        if not (isfinite(rotation.gain) and rotation.frequencies(layout.rotary_dim).isfinite().all()):
            raise SchemeError(f"{rotation.name}: its numbers give frequencies that are not finite: lower them")


def _kind(config: PreTrainedConfig) -> str:
    return rope_parameters(config).get("rope_type", "default")


def _flags(runtime: str, plan: Plan, config: PreTrainedConfig, target: Target) -> RuntimeFlags:
    rotation, start = plan.schemes[0].rotation, target.origin
    reason = _not_fixed(plan)
    if not reason:
        reach = start.reach(rotation, target.length)
        if reach > FAR:
            raise SchemeError(f"{rotation.name}: its factor asks for {reach} tokens, more than {FAR}: lower it")
        flags, reason = FLAGS[runtime](rotation, config, target, reach)
        if flags:
            return RuntimeFlags(runtime, flags, note=_capped(flags, config, reach) if runtime == "llama.cpp" else "")
    return RuntimeFlags(runtime, reason=reason, nearest=_nearest(runtime, config, target))


def _nearest(runtime: str, config: PreTrainedConfig, target: Target) -> str:
    """Return a YaRN that the runtime can express, for the length to read; empty where it can express none.

    It has the checkpoint's numbers, as far as the runtime takes them, and else those of the paper.
    """
    start = target.origin
    factor = f"{max(1.0, (target.length or 4 * start.trained_length) / start.original_length):g}"
    plain = f"ramp=index, attention_factor={YaRN(float(factor)).gain!r}, mscale=0, mscale_all_dim=0"
    for numbers in ("", ", ramp=index", ", ramp=index, mscale=0, mscale_all_dim=0", f", {plain}"):
        text = f"yarn(factor={factor}{numbers})"
        try:
            rotation = resolve(text, target, 1).schemes[0].rotation
            if FLAGS[runtime](rotation, config, target, start.reach(rotation, target.length))[0]:
                return text
        except LongspanError:
            continue
    return ""


def _not_fixed(plan: Plan) -> str:
    """Return why a plan is more than fixed frequencies for all layers; empty where it is not."""
    scheme = plan.schemes[0]
    if len(set(plan.schemes)) > 1:
        return "layers differ, which no runtime's flags can express"
    plain = Scheme(rotation=scheme.rotation)
    if scheme != plain:
        slots = ("distance", "sharpness", "mask")
        named = next(part for slot in slots if (part := getattr(scheme, slot)) != getattr(plain, slot))
        what = "changes distances" if not scheme.distance.is_true else "changes more than frequencies"
        return f"{named.name} {what}, which no runtime's flags can express"
    if len(scheme.rotation.segments(FAR)) > 1:
        changes = "changes frequencies with the length of each row"
        return f"{scheme.rotation.name} {changes}, which no runtime's flags can express"
    return ""


def _vllm(rotation: Rotation, config: PreTrainedConfig, target: Target, reach: int) -> tuple[tuple[str, ...], str]:
    """Return flags, or why there are none."""
    context = ("--max-model-len", str(reach))
    if not names_rotation(Scheme(rotation=rotation)):
        return context, ""
    overrides = _overrides(rotation, config, target, reach)
    if overrides is None:
        return (), f"vLLM takes fixed frequencies as longrope, and {rotation.name} leaves some pairs unrotated here"
    return ("--hf-overrides", json.dumps(_within(config, overrides)), *context), ""


def _sglang(rotation: Rotation, config: PreTrainedConfig, target: Target, reach: int) -> tuple[tuple[str, ...], str]:
    """Return flags, or why there are none; without an override SGLang refuses more tokens than the config says."""
    found: dict[str, Any] | None = {"max_position_embeddings": reach}
    if names_rotation(Scheme(rotation=rotation)):
        if _of_type(config):
            return (
                (),
                "layers of this model rotate differently, which SGLang's overrides may not express",
            )
        found = _overrides(rotation, config, target, reach)
    if found is None:
        return (), f"SGLang takes fixed frequencies as longrope, and {rotation.name} leaves some pairs unrotated here"
    return ("--json-model-override-args", json.dumps(_within(config, found)), "--context-length", str(reach)), ""


def _overrides(rotation: Rotation, config: PreTrainedConfig, target: Target, reach: int) -> dict[str, Any] | None:
    """Fields of the text model's config; None where longrope cannot express the rotation."""
    text = config.get_text_config(decoder=True)
    written = longrope(rotation, rope_parameters(config), target.origin, target.layout.rotary_dim, reach)
    if written is None:
        return None
    kind = _of_type(config)
    parameters = {**text.rope_parameters, kind: written} if kind else written
    return {"rope_parameters": parameters, "max_position_embeddings": reach}


def _of_type(config: PreTrainedConfig) -> str:
    """The type of layers that the rotary parameters are those of; empty where all layers have the same."""
    text, present = config.get_text_config(decoder=True), rope_parameters(config)
    return next((kind for kind, value in text.rope_parameters.items() if value is present), "")


def _within(config: PreTrainedConfig, overrides: dict[str, Any]) -> dict[str, Any]:
    """Fields of the text model at the place where the config has them."""
    text = config.get_text_config(decoder=True)
    names = [name for name in config.sub_configs if getattr(config, name, None) is text]
    return {names[0]: overrides} if names else overrides


def longrope(
    rotation: Rotation, present: dict[str, Any], start: Origin, rotary_dim: int, reach: int
) -> dict[str, Any] | None:
    """Write any fixed frequencies as a LongRoPE with equal short and long factors.

    Arguments:
        present: the `rope_parameters` of the model's config.
        reach: tokens that the model is to read.

    Returns `rope_parameters`; None where a pair does not rotate, or the config names no base.
    """
    theta, frequencies = present.get("rope_theta"), rotation.frequencies(rotary_dim)
    if theta is None or not frequencies.all():
        return None
    factors = (geometric(float(theta), rotary_dim) / frequencies).tolist()
    kept = {name: present[name] for name in ("rope_theta", "partial_rotary_factor") if name in present}
    factor = reach / start.original_length
    if (
        isinstance(rotation, YaRN) and rotation.mscale_all_dim
    ):  # DeepSeek's attention reads both; the gain is given above
        kept["mscale_all_dim"], factor = rotation.mscale_all_dim, rotation.factor
    return {
        **kept,
        "rope_type": "longrope",
        "short_factor": factors,
        "long_factor": factors,
        "factor": factor,
        "original_max_position_embeddings": start.original_length,
        "attention_factor": rotation.gain,
        # vLLM and SGLang read the gain under these names.
        "short_mscale": rotation.gain,
        "long_mscale": rotation.gain,
    }


def _llama_cpp(rotation: Rotation, config: PreTrainedConfig, target: Target, reach: int) -> tuple[tuple[str, ...], str]:
    """Return flags, or why there are none."""
    context, layout, theta = ("-c", str(reach)), target.layout, target.geometry.theta
    if not names_rotation(Scheme(rotation=rotation)):
        return context, ""
    if _kind(config) in FACTORS:
        return (), (
            f"a GGUF file of this model holds the factors of its rope_type {_kind(config)!r} for each pair, which "
            f"llama.cpp applies on top of every flag"
        )
    assert theta is not None
    plain, frequencies = geometric(theta, layout.rotary_dim), rotation.frequencies(layout.rotary_dim)
    if rotation.gain == 1.0:
        if _same(frequencies, plain / (factor := float(plain[0] / frequencies[0]))):
            return (*context, "--rope-scaling", "linear", "--rope-scale", f"{factor:g}"), ""
        base = float(frequencies[-1]) ** (-layout.rotary_dim / (layout.rotary_dim - 2))
        if _same(frequencies, geometric(base, layout.rotary_dim)):
            off = ("--rope-scaling", "none") if target.origin.rescaled else ()
            return (*context, *off, "--rope-freq-base", f"{base:.9g}"), ""
    if _is_its_yarn(rotation, theta):
        fast, slow = rotation.thresholds
        length = ("--yarn-orig-ctx", str(rotation.trained_length))
        ramp = ("--yarn-beta-fast", f"{fast:g}", "--yarn-beta-slow", f"{slow:g}")
        return (*context, "--rope-scaling", "yarn", "--rope-scale", f"{rotation.factor:g}", *length, *ramp), ""
    return (), f"llama.cpp takes a linear factor, another base or YaRN, and {rotation.name} is none of them here"


def _capped(flags: tuple[str, ...], config: PreTrainedConfig, reach: int) -> str:
    """What llama.cpp's server does to a context that the file does not promise; YaRN's flags alone promise more.

    Source: seen with llama.cpp of October 2026 (experiments/audit); ggml-org/llama.cpp#17459.
    """
    promised = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    if promised is None or reach <= promised or "yarn" in flags:
        return ""
    return (
        f"llama-server reads at most {promised} tokens, the file's context_length, whatever -c says: raise that number "
        "in the file"
    )


def _is_its_yarn(rotation: Rotation, theta: float) -> TypeGuard[YaRN]:
    """Return whether llama.cpp computes the same YaRN: with its ramp, and the gain of the paper."""
    if not isinstance(rotation, YaRN) or rotation.theta != theta or rotation.ramp not in (None, "index"):
        return False
    return rotation.gain == replace(rotation, attention_factor=None, mscale=None).gain and rotation.score_factor == 1.0


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=SAME, atol=0.0)


FLAGS = {"vllm": _vllm, "llama.cpp": _llama_cpp, "sglang": _sglang}
"""The runtimes, and what gives the flags of each."""
