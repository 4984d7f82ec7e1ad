"""What a machine runs out of is one line; every other error passes."""

import pytest
import torch

from longspan.errors import InputError
from longspan.grid.limits import within_limits


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("MPS backend Out of memory"),
    ],
)
def test_memory_that_runs_out_is_said_as_the_caller_says_it(error: Exception) -> None:
    with pytest.raises(InputError, match="give a smaller --to") as raised, within_limits("give a smaller --to"):
        raise error
    assert raised.value.__cause__ is error


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(InputError, match=r"cannot read or write: .*gone"), within_limits(""):
        raise FileNotFoundError("gone")


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("no"), KeyboardInterrupt()])
def test_other_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, within_limits(""):
        raise error
    assert raised.value is error
