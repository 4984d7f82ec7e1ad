"""The rotary modules of a model and the frequencies in their buffers, which a scheme may exchange."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from longspan.errors import RefusalError
from longspan.slots import Rotation

FREQUENCIES = "inv_freq"
RESOLUTION = 1e-4
"""The relative difference below which frequencies count as the same; bfloat16 buffers count as different."""


@dataclass(frozen=True)
class Source:
    """One set of frequencies: a rotary module, and the layer type where the module holds several sets."""

    module: nn.Module
    layer_type: str | None = None

    def _named(self, name: str) -> str:
        return name if self.layer_type is None else f"{self.layer_type}_{name}"

    @property
    def frequencies(self) -> Tensor:
        """The buffer, radians per token."""
        return getattr(self.module, self._named(FREQUENCIES))

    @property
    def gain(self) -> float:
        """The factor on cosine and sine."""
        return float(getattr(self.module, self._named("attention_scaling"), 1.0))

    @property
    def kind(self) -> str:
        """The rope_type of the checkpoint's own rescaling, "default" where there is none."""
        kind = getattr(self.module, "rope_type", "default")
        return kind[self.layer_type] if isinstance(kind, dict) else kind

    @property
    def follows_length(self) -> bool:
        """Whether the module changes its frequencies with the length of the call."""
        return "dynamic" in self.kind or self.kind == "longrope"

    def rotates_like(self, rotation: Rotation) -> bool:
        """Return whether a short text is rotated as by this rotation; buffers were computed in float32."""
        at_rest = self.frequencies
        if self.follows_length:  # the last call has left its own
            at_rest = getattr(self.module, self._named("original_inv_freq"), at_rest)
        if at_rest.is_meta:
            return True
        shortest = rotation.segments(1)[0].rotation
        wanted = shortest.frequencies(2 * len(at_rest))
        alike = torch.allclose(at_rest.double().cpu(), wanted, rtol=RESOLUTION, atol=0.0)
        return alike and abs(self.gain - shortest.gain) <= RESOLUTION * shortest.gain

    def holds(self, gain: float) -> bool:
        """Return whether the module can be given this factor."""
        return gain == self.gain or hasattr(self.module, self._named("attention_scaling"))

    def install(self, frequencies: Tensor | None, gain: float) -> "InstalledRotation":
        """Rotate with other frequencies (None: the same) and another gain, whatever the length of the call.

        Errors: RefusalError where the module has no gain and is given one.
        """
        module, own = self.module, self.frequencies
        attributes = {name: module.__dict__.get(name) for name in ("rope_type", self._named("attention_scaling"))}
        kinds = attributes["rope_type"]
        if kinds is not None:
            fixed = {**kinds, self.layer_type: "default"} if isinstance(kinds, dict) else "default"
            _set(module, {"rope_type": fixed})
        if attributes[self._named("attention_scaling")] is not None:
            _set(module, {self._named("attention_scaling"): gain})
        elif gain != self.gain:
            raise RefusalError(
                f"{type(module).__name__} has no gain: a rotation with gain {gain:.3f} cannot be put on it"
            )
        if frequencies is not None:
            module._buffers[self._named(FREQUENCIES)] = frequencies.to(own.device, own.dtype)
        return InstalledRotation(self, own, attributes)


@dataclass(frozen=True, eq=False)
class InstalledRotation:
    """A rotation that was put on a source, and what the source was before.

    Arguments:
        frequencies: the buffer of before.
        attributes: of the module, by name; None where it had no such.
    """

    source: Source
    frequencies: Tensor
    attributes: Mapping[str, Any]

    def remove(self) -> None:
        """Put everything back, the very same buffer included."""
        module, device = self.source.module, self.source.frequencies.device
        module._buffers[self.source._named(FREQUENCIES)] = self.frequencies.to(device)
        _set(module, {name: value for name, value in self.attributes.items() if value is not None})


def rotary_modules(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that hold frequencies."""
    for module in model.modules():
        if any(name.endswith(FREQUENCIES) for name, _ in module.named_buffers(recurse=False)):
            yield module


def _set(module: nn.Module, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        setattr(module, name, value)
