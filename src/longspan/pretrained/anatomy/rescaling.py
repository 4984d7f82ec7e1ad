"""Rescaling: read a checkpoint's rotation off its config, and decide what a named rotation starts from.

A named rotation starts from the *original* model: the frequencies theta^(−2i/d), and the length that the model was
trained on before any rescaling. A rescaled checkpoint has a rotation of its *own*, with every number; a method of the
same kind inherits each number that its text leaves open (docs/rescaled.md).

The trained length is `max_position_embeddings`, or the original length times the factor of a linear rescaling or of a
YaRN, where that is more.

    rope_type       own rotation      original length
    default         rope              max_position_embeddings
    proportional    rope, linear      the same, divided by the factor if there is one; slow pairs do not rotate
    linear          linear            original_max_position_embeddings, else max_position_embeddings / factor
    dynamic         dynamic_ntk       max_position_embeddings
    yarn            yarn              original_max_position_embeddings
    longrope        longrope          original_max_position_embeddings
    llama3          llama3            original_max_position_embeddings

Source: the functions of transformers/modeling_rope_utils.py, one per rope_type.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.rotation.dynamic_ntk import DynamicNTK
from longspan.rotation.linear import Linear
from longspan.rotation.llama3 import Llama3
from longspan.rotation.longrope import LongRoPE
from longspan.rotation.rope import RoPE
from longspan.rotation.yarn import YaRN
from longspan.slots import RotaryEmbedding, Rotation


@dataclass(frozen=True)
class Origin:
    """What a named rotation starts from.

    Arguments:
        own: the rotation of the checkpoint, with every number; None where its config describes no known one.
        trained_length: tokens that the checkpoint can read as it is: what its config promises, or what its own
            rescaling reaches where that is more.
        original_length: tokens that the model was trained on before the rescaling.
    """

    own: RotaryEmbedding | None
    trained_length: int
    original_length: int

    @property
    def unscaled_length(self) -> int | None:
        """The original length, where it is not the trained one."""
        return None if self.original_length == self.trained_length else self.original_length

    @property
    def rescaled(self) -> bool:
        """Whether the checkpoint is rescaled."""
        return not isinstance(self.own, RoPE)

    def unknown(self, kind: str) -> str | None:
        """Return why no rotation can be named where the rope_type gives none to start from; None where it gives one."""
        if self.own is not None:
            return None
        return f"starts from the model's original frequencies, which its rope_type {kind!r} does not give"

    def reach(self, rotation: Rotation, length: int | None) -> int:
        """Return the tokens that a rotation is for: the length to read, or else the original length times its factor.

        Arguments:
            length: tokens to read; None where it is not given.
        """
        if length is not None:
            return length
        if rotation == RoPE():  # the model's own
            return self.trained_length
        stretched = None if isinstance(rotation, DynamicNTK) else getattr(rotation, "factor", None)
        return self.trained_length if stretched is None else int(self.original_length * stretched)

    def inherited(self, named: Rotation, length: int | None) -> Rotation:
        """Fill in the numbers that a named rotation leaves open and the checkpoint's own rotation of the same kind has.

        For a text longer than the trained length, the factor grows in proportion.
        """
        if self.own is None:
            return named
        named = replace(named, proportion=self.own.proportion)
        if type(named) is not type(self.own):
            return named
        known = {f.name: getattr(self.own, f.name) for f in fields(named) if getattr(named, f.name) is None}
        if known.get("factor") is not None and not isinstance(named, DynamicNTK):
            known["factor"] *= max(1.0, (length or 0) / self.trained_length)
        return replace(named, **known)


def origin(parameters: dict[str, Any], promised: int, *, nested: bool = False) -> Origin:
    """Read one set of `rope_parameters`.

    Arguments:
        promised: `max_position_embeddings`, tokens.
        nested: whether the config holds one set per layer type; transformers then ignores `truncate`.
    """
    kind = parameters.get("rope_type", "default")
    read = _KINDS.get(kind)
    if parameters.get("rope_theta") is None or read is None:
        return Origin(None, promised, promised)
    own = read(parameters, promised, nested)
    original = promised
    if isinstance(own, YaRN | LongRoPE | Llama3):
        original = own.trained_length or promised
    elif isinstance(own, Linear):
        original = parameters.get("original_max_position_embeddings") or round(promised / (own.factor or 1.0))
    original = max(1, int(original))
    return Origin(own, max(promised, _reached(own, original, promised)), original)


def _reached(own: RotaryEmbedding, original: int, promised: int) -> int:
    """Return the tokens that a checkpoint's own rescaling is for, which its config may not promise; 0 for no such one.

    The cards of Qwen 2.5 and Qwen 3 add a YaRN of factor 4 and leave `max_position_embeddings` as it was. LongRoPE's
    factor is for its gain alone, and that of Llama 3 is more than the ratio of the lengths (Llama 3.2: 32, from 8192 to
    131072), so that it says something only where the promised length was not raised at all.
    """
    ratio = isinstance(own, YaRN | Linear) or (isinstance(own, Llama3) and promised <= original)
    factor = getattr(own, "factor", None)
    return round(original * factor) if ratio and factor else 0


def llama3_parameters(
    parameters: dict[str, Any], factors: Float64[Tensor, " pairs"], trained_length: int
) -> dict[str, Any] | None:
    """Return the `rope_parameters` of type llama3 that divide each frequency by these factors; None where none do.

    The original length is taken to be a power of two, and both ends of the ramp are those of all published models.
    """
    factor, rotary_dim = round(float(factors.max()), 3), 2 * len(factors)
    original = trained_length
    while original >= 2 and factor >= 1:
        rescaled = {
            **parameters,
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": original,
        }
        own = _llama3(rescaled, trained_length, False)
        if torch.allclose(own.original(rotary_dim) / own.frequencies(rotary_dim), factors, rtol=1e-4):
            return rescaled
        original = 1 << (original - 1).bit_length() - 1
    return None


def _theta(parameters: dict[str, Any]) -> float:
    return float(parameters["rope_theta"])


def _default(parameters: dict[str, Any], trained_length: int, nested: bool) -> RotaryEmbedding:
    return RoPE(theta=_theta(parameters))


def _proportional(parameters: dict[str, Any], trained_length: int, nested: bool) -> RotaryEmbedding:
    factor, proportion = parameters.get("factor") or 1.0, float(parameters.get("partial_rotary_factor", 1.0))
    plain = RoPE(proportion=proportion, theta=_theta(parameters))
    return plain if factor == 1 else Linear(float(factor), proportion=proportion, theta=_theta(parameters))


def _linear(parameters: dict[str, Any], trained_length: int, nested: bool) -> RotaryEmbedding:
    return Linear(float(parameters["factor"]), theta=_theta(parameters))


def _dynamic(parameters: dict[str, Any], trained_length: int, nested: bool) -> RotaryEmbedding:
    return DynamicNTK(trained_length, factor=float(parameters["factor"]), theta=_theta(parameters))


def _yarn(parameters: dict[str, Any], trained_length: int, nested: bool) -> RotaryEmbedding:
    return YaRN(
        *_stretch(parameters, trained_length),
        fast=_float(parameters.get("beta_fast") or None),
        slow=_float(parameters.get("beta_slow") or None),
        ramp="index" if nested or parameters.get("truncate", True) else "unrounded",
        attention_factor=_float(parameters.get("attention_factor")),
        mscale=_float(parameters.get("mscale")),
        mscale_all_dim=_float(parameters.get("mscale_all_dim")),
        theta=_theta(parameters),
    )


def _longrope(parameters: dict[str, Any], trained_length: int, nested: bool) -> RotaryEmbedding:
    factor, original = _stretch(parameters, trained_length)
    return LongRoPE(
        tuple(map(float, parameters["short_factor"])),
        tuple(map(float, parameters["long_factor"])),
        original,
        factor=max(1.0, factor),
        attention_factor=_float(parameters.get("attention_factor")),
        theta=_theta(parameters),
    )


def _llama3(parameters: dict[str, Any], trained_length: int, nested: bool) -> RotaryEmbedding:
    ends = float(parameters["low_freq_factor"]), float(parameters["high_freq_factor"])
    return Llama3(*_stretch(parameters, trained_length), *ends, theta=_theta(parameters))


_KINDS = {
    "default": _default,
    "proportional": _proportional,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
}


def _stretch(parameters: dict[str, Any], trained_length: int) -> tuple[float, int]:
    """Return factor and original length; a factor that is not given is the ratio of the lengths."""
    original = int(parameters.get("original_max_position_embeddings") or trained_length)
    return float(parameters.get("factor") or trained_length / original), original


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
