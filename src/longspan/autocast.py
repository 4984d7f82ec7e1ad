"""`torch.autocast` around attention: queries, keys and values are cast once, and everything else is computed as ever.

autocast casts single operations, and attention is many of them: some would run in the lower type and others not, on
each backend in another way. So attention does as `scaled_dot_product_attention` does there, whose arguments are cast:
a call under autocast gives what the same call gives outside of it, with query, key and value of autocast's type.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Types of devices that may be asked whether autocast is on."""


def autocasts(tensor: object) -> bool:
    """Return whether autocast is on for the device of a tensor; False for what is no tensor."""
    if not isinstance(tensor, Tensor):
        return False
    return tensor.device.type in DEVICES and torch.is_autocast_enabled(tensor.device.type)


def lowered(query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """Return queries, keys and values in the type of the autocast that is on; float64, and what is no tensor, stays."""
    return _lowered(query), _lowered(key), _lowered(value)


def _lowered(x: Any) -> Any:
    if not autocasts(x) or not x.is_floating_point() or x.dtype == torch.float64:
        return x
    return x.to(torch.get_autocast_dtype(x.device.type))


def without_autocast(tensor: Any) -> AbstractContextManager[object]:
    """Return a context in which autocast is off for the device of a tensor."""
    return torch.autocast(tensor.device.type, enabled=False) if autocasts(tensor) else nullcontext()
