"""A device that is not the CPU, on any machine: tensors say that they are elsewhere, and their numbers are real.

PyTorch's "lazy" device has no kernels of its own, and its autograd needs no GPU. While an `ImitatedDevice` is entered,
tensors can be made on it or moved to it; every operation on them runs on the CPU, after the checks that CUDA makes: all
tensors of an operation are on one device, except numbers without a dimension and indices. What would make the CPU wait
for a GPU, because numbers have to come back, is counted in `waits`, and in `waits_of` by the library that asked.
"""

import sys
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

aten = torch.ops.aten
DEVICE = torch.device("lazy", 0)

WAITING = {
    aten._local_scalar_dense, aten.is_nonzero, aten.equal, aten.nonzero, aten.masked_select, aten.unique_dim,
    aten._unique2, aten.unique_consecutive, aten.allclose, aten.bincount,
}  # fmt: skip
"""Operations whose result, or its size, the CPU has to know before it can go on."""

ANYWHERE = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
"""Operations that take indices from the CPU."""


class Elsewhere(Tensor):
    """A tensor on the imitated device; `numbers` are what it holds."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> "Elsewhere":
        made = torch.Tensor._make_wrapper_subclass(
            cls, numbers.shape, strides=numbers.stride(), storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype, device=DEVICE, requires_grad=numbers.requires_grad,
        )  # fmt: skip
        made.numbers = numbers
        return made

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"Elsewhere({self.numbers!r})"

    def tolist(self) -> Any:
        """The numbers, which have to come to the CPU first."""
        return self.cpu().tolist()

    def untyped_storage(self) -> torch.UntypedStorage:
        """Where the numbers lie, which says whether tensors share memory; a device's address is as good."""
        return self.numbers.untyped_storage()

    def data_ptr(self) -> int:
        """The address of the first number."""
        return self.numbers.data_ptr()

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{function} on the imitated device outside of `with ImitatedDevice()`")


def _moved(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Make a tensor of data on the CPU, and move it."""

    def made(data: Any, *, device: Any = None, **options: Any) -> Tensor:
        there = device is not None and torch.device(device).type == DEVICE.type
        tensor = make(data, device="cpu" if there else device, **options)
        return tensor.to(DEVICE) if there else tensor

    return made


class ImitatedDevice(TorchDispatchMode):
    """The device; `waits` counts by operation what the CPU waited for, `waits_of` by library."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self.waits: Counter[str] = Counter()
        self.waits_of: Counter[str] = Counter()

    def __enter__(self) -> "ImitatedDevice":
        # Gradient checkpointing looks for the module of the device; `torch.tensor` hides from dispatch modes.
        self._patch.setattr(torch, "lazy", SimpleNamespace(is_available=lambda: False), raising=False)
        _device_constructors()  # `with torch.device(…)` keeps the first it sees, which are to be PyTorch's own
        for name in ("tensor", "as_tensor"):
            self._patch.setattr(torch, name, _moved(getattr(torch, name)))
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._patch.undo()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        flat, tree = tree_flatten((args, kwargs))
        tensors = [x for x in flat if isinstance(x, Tensor)]
        elsewhere = [x for x in tensors if isinstance(x, Elsewhere)]
        wanted = kwargs.get("device")
        wanted = None if wanted is None else torch.device(wanted)
        packet, moves = function.overloadpacket, wanted is not None or function.overloadpacket is aten.copy_
        if elsewhere and not moves and packet not in ANYWHERE:
            here = [x for x in tensors if not isinstance(x, Elsewhere) and x.ndim]
            assert not here, f"{function} mixes devices: {[tuple(x.shape) for x in here]} are on the CPU"
        # A copy that does not block arrives at some time, for which this device takes no time at all.
        leaves = wanted is not None and wanted.type == "cpu" and not kwargs.get("non_blocking")
        back = packet is aten.copy_ and not isinstance(args[0], Elsewhere)
        masks = packet in ANYWHERE and any(x.dtype in (torch.bool, torch.uint8) for x in tensors[1:])
        if elsewhere and (packet in WAITING or leaves or back or masks):
            self.waits[str(packet)] += 1
            self.waits_of[_library()] += 1
        if wanted is not None and wanted.type == DEVICE.type:
            kwargs["device"] = torch.device("cpu")
        flat, _ = tree_flatten((args, kwargs))
        plain_args, plain_kwargs = tree_unflatten([x.numbers if isinstance(x, Elsewhere) else x for x in flat], tree)
        out = function(*plain_args, **plain_kwargs)
        if wanted.type != DEVICE.type if wanted is not None else not elsewhere or back:
            return args[0] if back else out
        out = tree_map(lambda x: Elsewhere(x) if isinstance(x, Tensor) else x, out)
        return return_and_correct_aliasing(function, args, kwargs, out)


def _library() -> str:
    """The library whose code asked: longspan or transformers, whichever is nearest."""
    frame = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if name in ("longspan", "transformers"):
            return name
        frame = frame.f_back
    return ""


def there(x: Tensor) -> Tensor:
    """The same numbers on the imitated device, as a leaf of the graph."""
    return x.detach().to(DEVICE).requires_grad_(x.requires_grad)


def here(x: Tensor) -> Tensor:
    """The numbers on the CPU; the device does not count this as waiting."""
    return x.numbers.detach() if isinstance(x, Elsewhere) else x.detach()
