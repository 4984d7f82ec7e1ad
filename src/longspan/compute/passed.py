"""The self-tests that were passed, in a file of the user's cache: a compiled kernel is not tested in every process.

A line of the file names everything that the result may depend on; with another version, another device or other source
code of `compute/`, where the kernels and all that leads to them are, it is another line. A file that cannot be read or
written means that a test runs again.
"""

import hashlib
import json
import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from longspan.disk import write_atomically
from longspan.errors import LongspanError
from longspan.memo import remember

FILE = "self-tests.json"

SOURCES = Path(__file__).parent
"""The folder whose code decides what a backend computes."""


@dataclass(frozen=True)
class Passed:
    """One line of the file.

    Arguments:
        line: versions, source code, device, dtype, channels, backend and scheme.
    """

    line: str

    @classmethod
    def of(
        cls, device: torch.device, dtype: torch.dtype, channels: tuple[int, int], backend: str, scheme: str
    ) -> "Passed":
        """The line for a kind of call on this machine."""
        about = [
            *_versions(),
            f"code {fingerprint(SOURCES)}",
            _name(device),
            str(dtype),
            *map(str, channels),
            backend,
            scheme,
        ]
        return cls(" | ".join(about))

    def is_known(self) -> bool:
        """Whether the file has the line."""
        return self.line in _lines()

    def note(self) -> None:
        """Add the line to the file; a file that cannot be written is let be."""
        with suppress(OSError, LongspanError):
            _path().parent.mkdir(parents=True, exist_ok=True)
            write_atomically(_path(), json.dumps(sorted({*_lines(), self.line}), indent=1))


def _path() -> Path:
    """The file; XDG_CACHE_HOME says where caches are."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "longspan" / FILE


def _lines() -> set[str]:
    try:
        known = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return {line for line in known if isinstance(line, str)} if isinstance(known, list) else set()


@remember(1)
def _versions() -> tuple[str, ...]:
    found = [f"python {platform.python_version()}"]
    for package in ("longspan", "torch", "triton"):
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return tuple(found)


@remember(1)
def fingerprint(folder: Path) -> str:
    """A hash of the names and the code of all files of a folder: an edit between two releases asks for new tests."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        code = path.read_bytes()
        found.update(f"{path.relative_to(folder).as_posix()} {len(code)}\n".encode() + code)
    return found.hexdigest()[:16]


def _name(device: torch.device) -> str:
    if device.type != "cuda":
        return f"{device.type} {platform.machine()} {platform.processor()}".strip()
    capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
    return f"{torch.cuda.get_device_name(device)} ({capability})"
