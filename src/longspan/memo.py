"""All that the library remembers between calls: every memo is made here, is bounded, and is cleared by `forget`.

Values by the arguments of a function (`remember`), what was read from a file (`remember_file`), and tensors by the
values they were computed from (`TensorCache`).
"""

import functools
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily

OVERHEAD = 2**12
"""Bytes that a result takes besides its numbers: keys and tensors are objects, and the angles of a step are few."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


class TensorCache:
    """The results used last, as many as a budget of bytes holds; threads may ask at the same time.

    Arguments:
        budget: bytes of all results together; one result is always kept.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._kept: dict[Hashable, tuple[Tensor, ...]] = {}
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """What `make` gave for this key, or gives now; of threads that ask for it at once, each may have to make it."""
        with self._lock:
            found = self._kept.pop(key, None)
            if found is not None:
                self._kept[key] = found  # the last one is the one used last
                return found
        made = make()  # without the lock: it takes long, and it may ask for results of its own
        with self._lock:
            found = self._kept.pop(key, None)
            if found is None:
                found = made
                self._bytes += _size(found)
            self._kept[key] = found
            while len(self._kept) > 1 and self._bytes > self.budget:
                self._bytes -= _size(self._kept.pop(next(iter(self._kept))))
        return found

    def clear(self) -> None:
        """Forget all results."""
        with self._lock:
            self._kept, self._bytes = {}, 0

    @property
    def nbytes(self) -> int:
        """Bytes of the results that are kept now."""
        return self._bytes


ANGLES = TensorCache(2**26)
"""Cosines and sines by which keys rotate in decoding steps."""

ROTATION_MATRICES = TensorCache(2**24)
"""Rotations of the queries of decoding steps."""

BIAS_LINES = TensorCache(2**26)
"""Biases of decoding steps, one number per head and distance."""

_memos: list[Any] = [ANGLES, ROTATION_MATRICES, BIAS_LINES]


def remember(most: int | None) -> Callable[[_Function], _Function]:
    """Decorate a pure function: its results are kept by its arguments, the `most` used last; None keeps all."""

    def decorated(function: _Function) -> _Function:
        memo = functools.lru_cache(maxsize=most)(function)
        _memos.append(memo)
        return cast("_Function", memo)

    return decorated


def remember_file(most: int, path: Callable[[str], Path] = Path) -> Callable[[_Function], _Function]:
    """Decorate a function that reads a file, whose name is its first argument: a result is kept until the file changes.

    Arguments:
        most: how many results are kept, those used last.
        path: from the name to the file.
    """

    def decorated(function: _Function) -> _Function:
        kept = remember(most)(lambda _, *arguments: function(*arguments))

        @functools.wraps(function)
        def asked(name: str, *more: Any) -> Any:
            return kept(_state(path(name)), name, *more)

        return cast("_Function", asked)

    return decorated


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file; None where there is none, which is an error of whoever reads it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@contextmanager
def real_numbers() -> Iterator[None]:
    """Let tensors made here have data, on the CPU: what is remembered outlasts the mode or device of its first caller.

    A model is made under `torch.device("meta")` or `FakeTensorMode` before another one computes.
    """
    with torch.device("cpu"), unset_fake_temporarily():
        yield


def forget() -> None:
    """Clear every memo."""
    for memo in _memos:
        memo.cache_clear() if hasattr(memo, "cache_clear") else memo.clear()


@dataclass(frozen=True, eq=False)
class _Numbers:
    """The numbers that a tensor holds now, without reading them: equal until something is written to the tensor.

    The tensor stays alive as long as this does, so that no other one takes its identity.
    """

    tensor: Tensor
    version: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Numbers) and (self.tensor is other.tensor) and self.version == other.version

    def __hash__(self) -> int:
        return hash((id(self.tensor), self.version))


def numbers_of(*tensors: Tensor) -> tuple[Hashable, ...]:
    """The numbers of small tensors as a part of a key.

    Numbers on a GPU are not read, for which the CPU would have to wait: there a key says which tensor holds them and
    how often PyTorch saw it change. A change behind PyTorch's back, through `.data`, is not seen.
    """
    return tuple(_number_of(tensor) for tensor in tensors)


def numbers_by_name(tensors: Mapping[str, Tensor]) -> tuple[Hashable, ...]:
    """The same for named tensors, in whatever order they come."""
    return tuple((name, tensors[name].dtype, *numbers_of(tensors[name])) for name in sorted(tensors))


def _number_of(tensor: Tensor) -> Hashable:
    if tensor.is_cpu:
        return tensor.detach().double().numpy().tobytes()
    return _Numbers(tensor, 0 if tensor.is_inference() else tensor._version)


def _size(tensors: tuple[Tensor, ...]) -> int:
    return OVERHEAD + sum(tensor.nbytes for tensor in tensors)
