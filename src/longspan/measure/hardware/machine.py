"""What computed a result: processor, accelerator, threads, and the versions of the libraries."""

import platform
from importlib.metadata import version

import torch

from longspan.memo import remember


def hardware(device: torch.device | None = None) -> str:
    """Return the name of a device, by default of the processor, as in "AMD EPYC, 2 threads"."""
    if device is not None and device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {device}"
    if device is not None and device.type != "cpu":
        return f"{_processor()}, {device}"
    return f"{_processor()}, {torch.get_num_threads()} threads"


@remember(1)
def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python, of the libraries that compute and of others, as far as they are installed."""
    found = {name: version(name) for name in ("longspan", "torch", "transformers", *more) if _installed(name)}
    return {"python": platform.python_version(), **found}


def _installed(name: str) -> bool:
    try:
        version(name)
    except ModuleNotFoundError:
        return False
    return True


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
