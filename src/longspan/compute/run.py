"""Checked inputs to an output: which backends there are, which one is chosen, and why."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from longspan.compute.decoding import prepared
from longspan.compute.decoding.prepared import Decoding, Patchwork
from longspan.compute.dense.blocks import blocks
from longspan.compute.dense.reference import reference
from longspan.compute.inputs import Inputs, check_arguments
from longspan.compute.kernels import cpu as flash
from longspan.compute.places import places
from longspan.compute.tiling.backend import readable, refusal, tiles
from longspan.errors import RefusalError, SchemeError, ShapeError, nearest, shown
from longspan.notation import format_scheme, parse
from longspan.scheme import Scheme

Positions = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]
"""Query positions, key positions, documents and padding."""

BACKENDS = {"reference": reference, "blocks": blocks, "tiles": tiles}


def call(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scheme: Scheme | str,
    positions: Positions,
    weights: Mapping[str, Tensor],
    scale: float | None,
    backend: str,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """`longspan.attend`, without a compiler around it."""
    scheme = known_scheme(scheme)
    check_arguments(query, key, value, positions, weights, scale)
    if query.ndim != 4 or key.ndim != 4:
        raise ShapeError(
            f"query and key must be (batch, heads, places, head_dim), got {tuple(query.shape)} and {tuple(key.shape)}"
        )
    query_positions, key_positions, documents, padding = positions
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
    inputs = Inputs(query, key, value, scheme, queries, keys, weights, base_scale)
    return run(inputs, backend)


def known_scheme(given: Scheme | str) -> Scheme:
    """The scheme that a caller gave, as an object or as its text.

    Errors: SchemeError for anything else; NotationError for a text that is no scheme.
    """
    if isinstance(given, str):
        return parse(given)
    if not isinstance(given, Scheme):
        raise SchemeError(
            f"scheme must be a Scheme or its text, got {shown(given)}; Scheme.of(part) makes one of parts, "
            "plan.layer(index, num_layers) takes one from a plan"
        )
    return given


def run(inputs: Inputs, backend: str = "auto") -> Float[Tensor, "batch heads queries value_dim"]:
    """The output of one checked call on a backend, by name.

    Errors: RefusalError where the named backend cannot serve the scheme; "auto" always finds one that can.
    """
    chosen = _chosen(inputs, backend)
    if chosen == "tiles":
        inputs = readable(inputs)
        found = _few_queries(inputs)
        if found is not None:
            return found(inputs.query, inputs.key, inputs.value, inputs.weights)
    return BACKENDS[chosen](inputs)


def decoding(inputs: Inputs, backend: str = "auto") -> Decoding | Patchwork | None:
    """What `run` does for few queries against a cache, found once for all tensors of equal specs; None for other calls.

    Errors: as of `run`.
    """
    return _few_queries(inputs) if _chosen(inputs, backend) == "tiles" else None


def _few_queries(x: Inputs) -> Decoding | Patchwork | None:
    if flash.on_cuda(x.query.device):  # decoding packs heads for the kernel of the CPU
        return None
    return prepared.decoding(x) if all(tensor.stride(3) == 1 for tensor in (x.query, x.key, x.value)) else None


def _chosen(inputs: Inputs, backend: str) -> str:
    chosen, _ = choose(inputs) if isinstance(backend, str) and backend == "auto" else (backend, "")
    if not isinstance(chosen, str) or chosen not in BACKENDS:
        raise RefusalError(
            f"unknown backend {shown(chosen)}{nearest(str(chosen), BACKENDS)}; there are {', '.join(BACKENDS)}"
        )
    if chosen == "tiles" and backend != "auto" and (reason := refusal(inputs)):
        raise RefusalError(f'tiles refuses {format_scheme(inputs.scheme)}: {reason}; backend="blocks" accepts it')
    return chosen


def choose(inputs: Inputs) -> tuple[str, str]:
    """The backend that "auto" takes, and why."""
    if inputs.query.device.type != "cpu":
        return "blocks", f"not tiles: on {inputs.query.device} they are taken only by name, no GPU has tested them yet"
    reason = refusal(inputs)
    return ("blocks", f"not tiles: {reason}") if reason else ("tiles", "every pair lies in a flash tile")
