"""Frames: the position at which a model's own rotary module is told that its tokens stand.

Keys are cached as that module turned them. Told the true position p, it turns them as ever (frame p); told zero, it
leaves them unturned (frame 0); told another, such as p / k, it turns them part of the way. Attention does the rest,
pair by pair where the method wants it.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from longspan.errors import RefusalError
from longspan.position_map import PositionMap
from longspan.pretrained.running.step import Steps
from longspan.slots import Rotation

FREQUENCIES = "inv_freq"
RESOLUTION = 1e-4
"""Relative difference below which frequencies are the same; bfloat16 buffers are not told from others."""


@dataclass(frozen=True)
class Source:
    """One set of frequencies: a rotary module, and the layer type where it holds several sets."""

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
        """The checkpoint's own rescaling, "default" where there is none."""
        kind = getattr(self.module, "rope_type", "default")
        return kind[self.layer_type] if isinstance(kind, dict) else kind

    @property
    def follows_length(self) -> bool:
        """Whether the module changes its frequencies with the length of the call."""
        return "dynamic" in self.kind or self.kind == "longrope"

    def rotates_like(self, rotation: Rotation) -> bool:
        """Whether a short text is rotated as by this rotation; float32 has computed the buffers."""
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
        """Whether the module can be given this factor."""
        return gain == self.gain or hasattr(self.module, self._named("attention_scaling"))

    def install(self, frequencies: Tensor | None, gain: float) -> "Installed":
        """Turn with other frequencies (None: the same) and gain, whatever the length, until `Installed.remove`."""
        module, own = self.module, self.frequencies
        saved = {name: module.__dict__.get(name) for name in ("rope_type", self._named("attention_scaling"))}
        if isinstance(saved["rope_type"], dict):
            module.rope_type = {**saved["rope_type"], self.layer_type: "default"}  # type: ignore[assignment]
        elif saved["rope_type"] is not None:
            module.rope_type = "default"  # type: ignore[assignment]
        if saved[self._named("attention_scaling")] is not None:
            setattr(module, self._named("attention_scaling"), gain)
        elif gain != self.gain:
            raise RefusalError(
                f"{type(module).__name__} has no gain: a rotation with gain {gain:.3f} cannot be put on it"
            )
        if frequencies is not None:
            module._buffers[self._named(FREQUENCIES)] = frequencies.to(own.device, own.dtype)
        return Installed(self, own, saved)


@dataclass(frozen=True, eq=False)
class Installed:
    """What a source was before."""

    source: Source
    frequencies: Tensor
    attributes: dict[str, Any]

    def remove(self) -> None:
        """Put everything back, the very same buffer included."""
        module = self.source.module
        now = self.source.frequencies
        module._buffers[self.source._named(FREQUENCIES)] = self.frequencies.to(now.device)
        for name, value in self.attributes.items():
            if value is not None:
                setattr(module, name, value)


def rotary_modules(model: nn.Module) -> Iterator[nn.Module]:
    """Modules that hold frequencies."""
    for module in model.modules():
        if any(name.endswith(FREQUENCIES) for name, _ in module.named_buffers(recurse=False)):
            yield module


class Arguments:
    """Finds an argument of a module's forward in a hook's args and kwargs."""

    def __init__(self, module: nn.Module) -> None:
        self.names = tuple(inspect.signature(module.forward).parameters)

    def get(self, name: str, args: tuple, kwargs: dict) -> Any:
        """The value, None where it was not given."""
        if name in kwargs:
            return kwargs[name]
        index = self.names.index(name) if name in self.names else len(args)
        return args[index] if index < len(args) else None

    def put(self, name: str, value: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Args and kwargs with the value in its place."""
        index = self.names.index(name)
        if name not in kwargs and index < len(args):
            return (*args[:index], value, *args[index + 1 :]), kwargs
        return args, {**kwargs, name: value}


class Frame:
    """A hook before one rotary module: notes the positions, and tells each set of frequencies its own.

    Arguments:
        told: where tokens are said to stand, by layer type; a set that is not named is told where they truly stand.
    """

    def __init__(self, module: nn.Module, steps: Steps, told: Mapping[str | None, PositionMap]) -> None:
        self.arguments, self.steps, self.told = Arguments(module), steps, told
        if "position_ids" not in self.arguments.names:
            raise RefusalError(f"{type(module).__name__} takes no position_ids: its rotation cannot be steered")

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        """Called by torch before the module's forward."""
        true = self.steps.note(self.arguments.get("position_ids", args, kwargs))
        told = self.told.get(self.arguments.get("layer_type", args, kwargs))
        positions = self.steps.counted_from_first(true) if told is None else told(true)
        return None if positions is None else self.arguments.put("position_ids", positions, args, kwargs)
