"""Devices: which one a model runs on, and how it comes there.

A model is loaded into the main memory and moved once. A model that its GPU cannot hold is spread by accelerate over the
GPUs and the main memory.
"""

from typing import Any

import torch

from longspan.errors import InputError, shown
from longspan.measure.hardware.memory import WORKING, available, gigabytes

AUTO = "auto"
ASKED = "auto, cpu, cuda, cuda:1 or mps"


def device_named(asked: str = AUTO, option: str = "--device") -> torch.device:
    """Return the device that somebody asks for; "auto" takes a GPU that is there.

    Arguments:
        option: what errors call the place where it was asked for.

    Errors: InputError for a name that is none, and for a device that this machine or this torch does not have.
    """
    if asked == AUTO:
        asked = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = asked.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and (kind != "cuda" or not index.isdecimal())):
        raise InputError(f"{option} must be {ASKED}, got {shown(asked)}")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"{option} mps: this machine has no GPU that torch reaches by Metal; give {option} cpu")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise InputError(
                f"{option} {asked}: torch {torch.__version__} finds no CUDA GPU; give {option} cpu, or install a "
                "torch that is built for this machine's GPU"
            )
        if int(index or 0) >= count:
            there = ", ".join(f"cuda:{number}" for number in range(count))
            raise InputError(f"{option} {asked}: there is no such GPU; there are {there}")
    return torch.device(asked)


def placed(model: Any, device: torch.device) -> Any:
    """Return a model on a device, moved as a whole, or spread where it is too large for that.

    Errors: InputError where it does not fit, even spread.
    """
    if device.type == "cpu":
        return model
    size, free = model.get_memory_footprint(), available(device)
    if free is None or size + WORKING <= free:
        return model.to(device)
    if device.type != "cuda":
        raise InputError(f"the model takes {gigabytes(size)} and {gigabytes(free)} are free on {device}: --device cpu")
    return _spread(model, device, size)


def _spread(model: Any, device: torch.device, size: int) -> Any:
    """Spread a model over the GPU that was named, or over all, and over the main memory."""
    from accelerate import dispatch_model, infer_auto_device_map

    indices = range(torch.cuda.device_count()) if device.index is None else [device.index]
    room: dict[int | str, int | str] = {
        index: max(0, (available(torch.device("cuda", index)) or 0) - WORKING) for index in indices
    }
    room["cpu"] = available(torch.device("cpu")) or 0
    whole = getattr(model, "_no_split_modules", None)
    places = infer_auto_device_map(model, max_memory=room, no_split_module_classes=list(whole or ()))
    if "disk" in places.values():
        free = gigabytes(sum(map(int, room.values())))
        raise InputError(
            f"the model takes {gigabytes(size)}, and {free} are free on GPUs and in main memory: "
            "try --dtype bfloat16, or a smaller model"
        )
    return dispatch_model(model, places)
