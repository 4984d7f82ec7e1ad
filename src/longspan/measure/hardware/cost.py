"""What a measurement costs: seconds and peak memory."""

import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class Cost:
    """The cost of what happens inside `with Cost() as cost`.

    >>> with Cost() as cost:
    ...     pass
    >>> cost.seconds < 1
    True

    Afterwards `seconds` holds the time, and `peak_bytes` the most memory that the whole process held, the model
    included, or that was allocated on the GPU.

    Arguments:
        device: where it happens; None for the processor.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device if device is not None and device.type == "cuda" else None

    def __enter__(self) -> "Cost":
        if self._device is not None:
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            with suppress(OSError):
                _RESET.write_text("5")
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._device is not None:
            torch.cuda.synchronize(self._device)
        self.seconds = time.perf_counter() - self._began
        self.peak_bytes = _peak() if self._device is None else torch.cuda.max_memory_allocated(self._device)


def _peak() -> int:
    """The most memory that this process held since the last reset, or since its start where none is possible, bytes."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
