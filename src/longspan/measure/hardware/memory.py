"""Memory: what reading N tokens will take, computed before it is tried."""

from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import torch

from longspan.errors import InputError

WORKING = 400 * 2**20
"""Bytes for slices of logits, tiles of attention, and the libraries' own use."""


def needed(model: Any, length: int) -> int:
    """Return the bytes beyond the model's own that reading `length` tokens with a cache takes."""
    return WORKING + length * per_token(model)


def per_token(model: Any) -> int:
    """Return the bytes that each token of a text takes.

    Keys and values of every layer and of one more, which is copied when room is reserved, and one layer's hidden
    states, queries and inner activations.
    """
    config = model.config.get_text_config()
    size = next(model.parameters()).element_size()
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    cache = 2 * (config.num_hidden_layers + 1) * kv_heads * head_dim * size
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return cache + (6 * config.hidden_size + 8 * heads * head_dim + 3 * inner) * max(size, 4)


def device_of(model: Any) -> torch.device:
    """Return the device that a model's token ids go to; for a spread model, that of its first part on a GPU."""
    places = getattr(model, "hf_device_map", None) or {}
    far = [place for place in places.values() if place not in ("cpu", "disk", torch.device("cpu"))]
    if far:
        return torch.device(far[0] if not isinstance(far[0], int) else f"cuda:{far[0]}")
    weight = model.get_input_embeddings().weight
    return torch.device("cpu") if weight.is_meta else weight.device


def available(device: torch.device) -> int | None:
    """Return the bytes that are free; None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    found = []
    with suppress(OSError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        found.append(limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return min(found) if found else None


def require_memory(model: Any, length: int, trained_length: int, free: int | None = None, option: str = "--to") -> int:
    """Return the bytes that reading `length` tokens takes.

    Arguments:
        option: what sets the length on the command line.

    Errors: InputError where fewer are free; the message names the greatest length that fits.
    """
    wanted = needed(model, length)
    free = available(device_of(model)) if free is None else free
    if free is not None and wanted > free:
        fits = (free - WORKING) // per_token(model)
        advice = f"give at most {option} {fits}" if fits > trained_length else "no length beyond the trained one fits"
        smaller = ", or try --dtype bfloat16" if next(model.parameters()).element_size() > 2 else ""
        raise InputError(
            f"reading {length} tokens takes about {gigabytes(wanted)} beside the model and {gigabytes(free)} are free: "
            f"{advice}{smaller}"
        )
    return wanted


def gigabytes(size: int) -> str:
    """Write bytes as people do.

    >>> gigabytes(3 * 2**29)
    '1.5 GiB'
    """
    return f"{Decimal(size) / 2**30:,.1f} GiB"
