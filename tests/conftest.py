"""Every test starts from the same seed; property tests try the same cases on every machine."""

import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

import pytest
import torch
from hypothesis import Phase, settings


class _FilesOnly(MetaPathFinder, Loader):
    """Lets flash-linear-attention be found, whose files the tests read, but not imported.

    transformers calls its kernels wherever the package can be imported, and they need a GPU.
    """

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        """Find the package with this loader in the place of its own."""
        found = PathFinder.find_spec(fullname) if fullname == "fla" else None
        if found is not None:
            found.loader = self
        return found

    def create_module(self, spec: ModuleSpec) -> None:
        """Refuse."""
        raise ImportError(f"{spec.name} needs a GPU")

    def exec_module(self, module: object) -> None:
        """Never called."""


# Where there is no GPU, Triton runs its kernels in an interpreter, if this is set before a kernel is imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
    sys.meta_path.insert(0, _FilesOnly())

# Deadlines measure the machine, not the code.
settings.register_profile("longspan", deadline=None, derandomize=True, print_blob=True)
# What a nightly run or somebody with an hour draws.
settings.register_profile("thorough", settings.get_profile("longspan"), max_examples=2000)
# While writing code: the first counterexample as it comes, unshrunk.
settings.register_profile("draft", settings.get_profile("longspan"), phases=[Phase.explicit, Phase.generate])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "longspan"))


@pytest.fixture(autouse=True)
def _same_seed() -> None:
    torch.manual_seed(0)


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(scope="session", params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device of this machine in turn."""
    return torch.device(request.param)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Keep `--doctest-modules` to the library: what lies beside the tests is imported by them, not run."""
    beside = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if beside and Path(__file__).parent in collection_path.parents else None
