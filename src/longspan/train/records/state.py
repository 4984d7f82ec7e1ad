"""The state of a run on disk: weights, their running average, optimizers and the step, in safetensors files.

    state/weights.safetensors       parameters
    state/average.safetensors       their running average, where there is one
    state/optimizer-0.safetensors   what the optimizers keep of each parameter
    state/step.json

The folder is replaced as a whole, so that a kill leaves the old state or the new one. Nothing in it is executed. It
says nothing about devices and processes: whatever they were, the next run may have others.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from longspan.disk import recover_folder, replaced_folder, writing
from longspan.errors import InputError
from longspan.train.processes.engine import shared_like, whole

FOLDER = "state"


def save_state(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    average: Mapping[str, Tensor],
    *,
    writes: bool = True,
) -> None:
    """Replace the state of a run. Of several processes all must call this, and one of them writes.

    Arguments:
        writes: whether this process does.

    Errors: InputError where the disk refuses.
    """
    held = {"weights": dict(model.named_parameters()), **({"average": average} if average else {})}
    for number, optimizer in enumerate(optimizers):
        kept = optimizer.state_dict()["state"]
        held[f"optimizer-{number}"] = {
            f"{which}.{name}": value for which, own in kept.items() for name, value in own.items()
        }
    gathered = {name: on_cpu(tensors, kept=writes) for name, tensors in held.items()}
    if not writes:
        return
    with writing(folder / FOLDER), replaced_folder(folder / FOLDER) as fresh:
        for name, tensors in gathered.items():
            save_file(tensors, fresh / f"{name}.safetensors")
        (fresh / "step.json").write_text(json.dumps({"step": step}) + "\n")


def has_begun(folder: Path) -> bool:
    """Whether a run has a state to go on from."""
    recover_folder(folder / FOLDER)
    return (folder / FOLDER / "step.json").exists()


def load_state(
    folder: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], average: dict[str, Tensor]
) -> int:
    """Bring back the state of a run, and return its step; 0 where there is no state yet.

    Errors: InputError for a state that does not belong to this model.
    """
    found = folder / FOLDER
    if not has_begun(folder):
        return 0
    with torch.no_grad():
        _copy(load_file(found / "weights.safetensors"), dict(model.named_parameters()), found)
        if average:
            _copy(load_file(found / "average.safetensors"), average, found)
    for number, optimizer in enumerate(optimizers):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in load_file(found / f"optimizer-{number}.safetensors").items():
            which, _, own = name.partition(".")
            of = parameters[int(which)]
            if value.ndim and value.shape != of.shape:
                raise InputError(f"{found} is the state of another version's optimizers: give another --out")
            states.setdefault(int(which), {})[own] = shared_like(value, of) if value.shape == of.shape else value
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return json.loads((found / "step.json").read_text())["step"]


def on_cpu(tensors: Mapping[str, Tensor], *, kept: bool) -> dict[str, Tensor]:
    """Return copies of whole tensors on the CPU, in a process that keeps them; all that share them must ask."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        full = whole(value.detach())
        if kept:
            found[name] = full.cpu().contiguous().clone()
    return found


def _copy(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], folder: Path) -> None:
    if {n: v.shape for n, v in found.items()} != {n: v.shape for n, v in wanted.items()}:
        raise InputError(f"{folder} holds the state of another model: give another --out")
    for name, value in wanted.items():
        value.copy_(shared_like(found[name], value))
