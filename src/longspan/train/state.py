"""The state of a run on disk: weights, their running average, optimizers and the step, in safetensors files.

    state/weights.safetensors       parameters
    state/average.safetensors       their running average, where there is one
    state/optimizer-0.safetensors   what the optimizers keep of each parameter
    state/step.json

The folder is replaced as a whole, so that a kill leaves the old state or the new one. Nothing in it is executed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from longspan.disk import recover_folder, replaced_folder, writing
from longspan.errors import InputError

FOLDER = "state"


def save_state(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    average: Mapping[str, Tensor],
) -> None:
    """Replace the state of a run.

    Errors: InputError where the disk refuses.
    """
    with writing(folder / FOLDER), replaced_folder(folder / FOLDER) as fresh:
        _write(fresh / "weights.safetensors", dict(model.named_parameters()))
        if average:
            _write(fresh / "average.safetensors", average)
        for number, optimizer in enumerate(optimizers):
            kept = optimizer.state_dict()["state"]
            flat = {f"{which}.{name}": value for which, own in kept.items() for name, value in own.items()}
            _write(fresh / f"optimizer-{number}.safetensors", flat)
        (fresh / "step.json").write_text(json.dumps({"step": step}) + "\n")


def load_state(
    folder: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], average: dict[str, Tensor]
) -> int:
    """Bring back the state of a run, and return its step; 0 where there is no state yet.

    Errors: InputError for a state that does not belong to this model.
    """
    recover_folder(folder / FOLDER)
    found = folder / FOLDER
    if not (found / "step.json").exists():
        return 0
    with torch.no_grad():
        _copy(load_file(found / "weights.safetensors"), dict(model.named_parameters()), found)
        if average:
            _copy(load_file(found / "average.safetensors"), average, found)
    for number, optimizer in enumerate(optimizers):
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in load_file(found / f"optimizer-{number}.safetensors").items():
            which, _, own = name.partition(".")
            states.setdefault(int(which), {})[own] = value
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return json.loads((found / "step.json").read_text())["step"]


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    save_file({name: value.detach().contiguous().clone() for name, value in tensors.items()}, path)


def _copy(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], folder: Path) -> None:
    if {n: v.shape for n, v in found.items()} != {n: v.shape for n, v in wanted.items()}:
        raise InputError(f"{folder} holds the state of another model: give another --out")
    for name, value in wanted.items():
        value.copy_(found[name])
