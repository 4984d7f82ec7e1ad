"""Limits: what a machine runs out of on the way is one line that says what to do, and not a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from longspan.errors import InputError


@contextmanager
def within_limits(out_of_memory: str) -> Iterator[None]:
    """Raise InputError for memory and disks that do not suffice; every other error passes.

    Arguments:
        out_of_memory: what to say where memory runs out, and what to do.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise InputError(out_of_memory) from error
    except RuntimeError as error:
        if "allocate memory" in str(error) or "out of memory" in str(error).lower():
            raise InputError(out_of_memory) from error
        raise
    except OSError as error:
        raise InputError(f"cannot read or write: {error}") from error
