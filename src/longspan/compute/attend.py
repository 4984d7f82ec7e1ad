"""`attend`: one call for every scheme, on every backend."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.blocks import blocks
from longspan.compute.inputs import Inputs
from longspan.compute.places import places
from longspan.compute.reference import reference
from longspan.compute.tiled import refusal, tiles
from longspan.errors import RefusalError, ShapeError, nearest
from longspan.notation import format_scheme, parse
from longspan.scheme import Scheme

BACKENDS = {"reference": reference, "blocks": blocks, "tiles": tiles}


_Function = TypeVar("_Function", bound=Callable)


def _eager(function: _Function) -> _Function:
    """Which tiles there are depends on where tokens stand: a compiled caller breaks its graph here and goes on."""
    return torch.compiler.disable(function)  # pyright: ignore[reportReturnType]


@_eager
def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scheme: Scheme | str,
    *,
    query_positions: Tensor | None = None,
    key_positions: Tensor | None = None,
    documents: Tensor | None = None,
    padding: Tensor | None = None,
    weights: Mapping[str, Tensor] | None = None,
    scale: float | None = None,
    backend: str = "auto",
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Attention under a scheme of positions.

    Keys stand at 0 … keys − 1 and the queries are the last of them, unless positions say otherwise.

    Arguments:
        query: (batch, heads, queries, head_dim).
        key, value: (batch, kv_heads, keys, head_dim); kv_heads divides heads, values may have a width of their own.
        scheme: a `Scheme` or its text, as in "rerope(window=1024) + log_length(4096)".
        query_positions, key_positions: coordinates, (places), (batch, places) or (batch, places, axes).
        documents: (batch, keys), packed documents, numbered; tokens of different documents never meet.
        padding: (batch, keys), True where a key is padding; its query's output is zero.
        weights: the learned numbers of the scheme's parts, named as in `Scheme.initial_weights`.
        scale: a model's own scaling instead of 1/√head_dim.
        backend: "tiles" (flash tiles), "blocks" (any scheme, linear memory), "reference" (dense), or "auto" to choose.

    Errors: ShapeError, SchemeError, and RefusalError where a named backend cannot serve the scheme.

    >>> import torch
    >>> x = torch.ones(1, 2, 5, 4)
    >>> attend(x, x, x, "rope + window(2)").shape
    torch.Size([1, 2, 5, 4])
    """
    scheme = parse(scheme) if isinstance(scheme, str) else scheme
    if query.ndim != 4 or key.ndim != 4:
        raise ShapeError(
            f"query and key must be (batch, heads, places, head_dim), got {tuple(query.shape)} and {tuple(key.shape)}"
        )
    queries, keys = places(
        query.shape[2],
        key.shape[2],
        query_positions=query_positions,
        key_positions=key_positions,
        documents=documents,
        padding=padding,
        device=query.device,
    )
    base_scale = query.shape[3] ** -0.5 if scale is None else scale
    inputs = Inputs(query, key, value, scheme, queries, keys, weights or {}, base_scale)
    return run(inputs, backend)


def run(inputs: Inputs, backend: str = "auto") -> Float[Tensor, "batch heads queries value_dim"]:
    """The output of one checked call on a backend, by name.

    Errors: RefusalError where the named backend cannot serve the scheme; "auto" always finds one that can.
    """
    chosen, _ = choose(inputs) if backend == "auto" else (backend, "")
    if chosen not in BACKENDS:
        raise RefusalError(f"unknown backend {chosen!r}{nearest(chosen, BACKENDS)}; there are {', '.join(BACKENDS)}")
    if chosen == "tiles" and backend != "auto" and (reason := refusal(inputs)):
        raise RefusalError(f'tiles refuses {format_scheme(inputs.scheme)}: {reason}; backend="blocks" accepts it')
    return BACKENDS[chosen](inputs)


def choose(inputs: Inputs) -> tuple[str, str]:
    """The backend that "auto" takes, and why."""
    reason = refusal(inputs)
    return ("blocks", f"not tiles: {reason}") if reason else ("tiles", "every pair lies in a flash tile")
