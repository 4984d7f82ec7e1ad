"""The design of a trained model, in its folder: the plan in config.json, learned numbers in a file of their own.

`trained_design` in config.json names the plan, what is added to embeddings if anything is, and the projections if they
are not dense. What they learned is in learned.safetensors, so that model.safetensors holds what the architecture alone
has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedConfig

from longspan.errors import RefusalError
from longspan.notation import format_plan, format_value
from longspan.plan import Plan
from longspan.pretrained.linear import DENSE, MonarchProjections
from longspan.pretrained.running.learned import LEARNED
from longspan.slots.absolute import Absolute

FIELD = "trained_design"
FILE = "learned.safetensors"
VERSION = 1
WITH_ABSOLUTE = 2
"""The version of a design that adds positions to embeddings, so that an older longspan refuses it."""
WITH_LINEAR = 3
"""The version of a design whose projections are not dense; it may add positions to embeddings too."""

NEEDED = MappingProxyType({VERSION: ("plan",), WITH_ABSOLUTE: ("plan", "absolute"), WITH_LINEAR: ("plan", "linear")})
"""What config.json has to say of a design, by its version."""


@dataclass(frozen=True)
class Trained:
    """What a folder says of a design, as text.

    Arguments:
        plan: of its layers.
        absolute: what is added to embeddings; None for nothing.
        linear: the projections.
    """

    plan: str
    absolute: str | None = None
    linear: str = DENSE


def described(plan: Plan, absolute: Absolute | None, linear: MonarchProjections | None = None) -> dict[str, Any]:
    """Return what config.json says of a design under `FIELD`."""
    found: dict[str, Any] = {"version": VERSION, "plan": format_plan(plan)}
    if absolute is not None:
        found |= {"version": WITH_ABSOLUTE, "absolute": format_value(absolute, absolute.name)}
    if linear is not None:
        found |= {"version": WITH_LINEAR, "linear": format_value(linear, linear.name)}
    return found


def without_learned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a model's architecture: a state without the learned numbers of its design."""
    return {name: value for name, value in state.items() if f".{LEARNED}." not in name}


def write_learned(folder: Path, model: nn.Module) -> None:
    """Write the learned numbers of a design, if it has any."""
    if learned := _learned(model):
        save_file({name: value.detach().contiguous() for name, value in learned.items()}, folder / FILE)


def take_design(config: PreTrainedConfig, source: Path | str) -> Trained | None:
    """Return the design that a model was trained with, and remove it from the config; None where it has no design.

    Errors: RefusalError for a field that `write_design` cannot have written.
    """
    found = getattr(config, FIELD, None)
    if found is None:
        return None
    delattr(config, FIELD)
    version = found.get("version") if isinstance(found, dict) else None
    needed = NEEDED.get(version) if type(version) is int else None
    if needed is None or not all(isinstance(found.get(name), str) for name in needed):
        raise RefusalError(
            f"{FIELD} in the config of {source} must have a version from {VERSION} to {WITH_LINEAR} and a plan, got "
            f"{found!r:.100}: a newer longspan may have written it"
        )
    return Trained(**{name: found[name] for name in ("plan", "absolute", "linear") if isinstance(found.get(name), str)})


def load_learned(model: nn.Module, path: str | None, source: Path | str) -> None:
    """Read the learned numbers of a model's design from a safetensors file.

    Arguments:
        path: of the file; None where the checkpoint has none.
        source: the name of the checkpoint in errors.

    Errors: RefusalError where the file does not hold the numbers that the design has, in their shapes.
    """
    wanted = _learned(model)
    if not wanted and path is None:
        return
    found: dict[str, Tensor] = {}
    if path is not None:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (a file is no mapping)
    if {n: v.shape for n, v in found.items()} != {n: v.shape for n, v in wanted.items()}:
        raise RefusalError(
            f"{FILE} of {source} holds {len(found)} tensors and the design learns {len(wanted)}, or their names or "
            "shapes differ: the plan in config.json and the file do not belong together"
        )
    for name, value in wanted.items():
        value.data.copy_(found[name])


def _learned(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: value for name, value in model.named_parameters() if f".{LEARNED}." in name}
