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
    included, or that was allocated on the accelerator.
    """

    def __enter__(self) -> "Cost":
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        else:
            with suppress(OSError):
                _RESET.write_text("5")
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self._began
        self.peak_bytes = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else _peak()


def _peak() -> int:
    """The most memory that this process held since the last reset, or since its start where none is possible, bytes."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
