"""Every test starts from the same seed; property tests try the same cases on every machine."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import Phase, settings

# Where there is no GPU, Triton runs its kernels in an interpreter, if this is set before a kernel is imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

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
