"""`attend`: one call for every scheme, on the backend that serves it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.autocast import lowered, without_autocast
from longspan.compute.decoding.prepare import MOST_QUERIES, prepare_call
from longspan.compute.decoding.prepared import Prepared
from longspan.compute.dense.blocks import blocks
from longspan.compute.dense.reference import reference
from longspan.compute.fused import attention as fused
from longspan.compute.fused.attention import Fused
from longspan.compute.inputs import Call, GivenPositions, Inputs, check_tensors, has_data
from longspan.compute.kernels import cpu
from longspan.compute.kernels.kernel import KERNELS, Kernel
from longspan.compute.self_test import Kind, small, trusted
from longspan.compute.tiling import decompose
from longspan.compute.tiling.lowering import Span
from longspan.compute.tiling.softmax import SpanSoftmax, needs_steps_of_one, nothing, refusal
from longspan.compute.tiling.spans import Patch, patches
from longspan.compute.traced import compiled, transformed
from longspan.errors import RefusalError, nearest, shown
from longspan.memo import remember
from longspan.notation import format_scheme
from longspan.scheme import Scheme


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

    Keys have the positions 0 … keys − 1 and the queries are the last of them, unless positions say otherwise. Every
    call rotates all keys: for decoding token by token use `Cache`, which rotates each key once.

    Arguments:
        query: (batch, heads, queries, head_dim).
        key, value: (batch, kv_heads, keys, head_dim); kv_heads divides heads; values may have a width of their own.
        scheme: a `Scheme` or its text, as in "rerope(window=1024) + log_length(4096)".
        query_positions, key_positions: (tokens), (batch, tokens) or (batch, tokens, axes).
        documents: (batch, keys), the number of each key's document in a packed batch; tokens of different documents do
            not attend to each other.
        padding: (batch, keys), True where a key is padding; the output of its query is zero.
        weights: the learned numbers of the scheme's parts, named as in `Scheme.initial_weights`.
        scale: the model's own scale instead of 1/√head_dim.
        backend: "tiles" (flash kernels), "triton" (one launch on a GPU), "blocks" (any scheme, linear memory),
            "reference" (dense), or "auto".

    Inside `torch.compile` (fullgraph too) the call is one opaque operation of the graph: the compiler fuses nothing
    inside it. Its backward pass computes the forward pass again, as gradient checkpointing does, and it has no second
    derivative. A scheme object compiles once per object, a scheme text once.

    The same holds for `torch.func.grad`, `vjp` and `jacrev`. `torch.vmap` adds the mapped dimension to the batch; where
    it maps positions or weights too, it computes one call after the other. Forward-mode derivatives are refused.
    Tensors without data (the device "meta", `FakeTensorMode`) give an empty tensor of the output's shape.

    Under `torch.autocast` the call gives what it gives outside of it for query, key and value of autocast's type.

    A row of the output is NaN exactly where its query is NaN or where it attends to a key or value that is NaN; every
    other row has the value that it would have without the NaN.

    Errors: ShapeError for tensors that do not fit or are not tensors; SchemeError for a scheme, weights or a scale
    without meaning; RefusalError for an unknown backend, for a backend that cannot serve the scheme, and for a
    derivative that does not exist.

    >>> import torch
    >>> x = torch.ones(1, 2, 5, 4)
    >>> attend(x, x, x, "rope + window(2)").shape
    torch.Size([1, 2, 5, 4])
    """
    positions = GivenPositions(query_positions, key_positions, documents, padding)
    query, key, value = lowered(query, key, value)
    call = Call(query, key, value, scheme, positions, {} if weights is None else weights, scale, backend)
    if torch.compiler.is_compiling():
        return _operation(call)
    if not has_data(query):
        call.check()
        check_tensors(query, key, value)
        return _operation(call)
    if torch._C._are_functorch_transforms_active():
        return transformed.attend(call, _compute)
    return _compute(call)


def _compute(call: Call) -> Float[Tensor, "batch heads queries value_dim"]:
    return run(call.inputs(), call.backend)


_operation = compiled.operation(_compute)


def run(inputs: Inputs, backend: str = "auto") -> Float[Tensor, "batch heads queries value_dim"]:
    """Compute checked inputs on a backend, by name, in their own type also under `torch.autocast`.

    Errors: RefusalError where the named backend cannot serve the scheme; "auto" always finds one that can.
    """
    inputs = inputs.readable()
    with without_autocast(inputs.query):
        chosen = choose(inputs, backend)
        few = _few_queries(inputs, chosen)
        if few is not None:
            return few(inputs.query, inputs.key, inputs.value, inputs.weights)
        if chosen.fused is not None:
            return chosen.fused()[0]
        return DENSE[chosen.backend](inputs) if chosen.tiled is None else chosen.tiled()


def _few_queries(inputs: Inputs, chosen: "Choice") -> Prepared | None:
    """The call as a decoding step; None where it is none."""
    if inputs.query.shape[2] > MOST_QUERIES:
        return None
    if chosen.fused is not None:
        return prepare_call(inputs, "triton")
    return prepare_call(inputs) if chosen.tiled is not None and chosen.tiled.kernel is cpu else None


class Choice(NamedTuple):
    """The backend that computes some inputs.

    Arguments:
        backend: its name.
        why: the reason for it.
        tiled: what tiles compute; None on other backends.
        fused: what the Triton kernel computes; None on other backends.
    """

    backend: str
    why: str
    tiled: "Tiled | None" = None
    fused: Fused | None = None


DENSE = {"reference": reference, "blocks": blocks}


@remember(256)
def step_backend(
    device: torch.device, dtype: torch.dtype, head_dim: int, value_dim: int, scheme: Scheme, backend: str
) -> str:
    """The backend that a decoding step asks `prepare` for: on a GPU, the Triton kernel after its self-test."""
    if backend != "auto" or device.type not in fused.DEVICES:
        return backend
    if fused.tensors_refusal(device, dtype, max(head_dim, value_dim)) or fused.scheme_refusal(scheme):
        return backend
    kind = Kind(device, dtype, head_dim, value_dim, small(replace(scheme, qk_norm=None), head_dim))
    return "triton" if trusted(kind, "triton", run) else backend


FAST = ("triton", "tiles")
"""Backends that serve some schemes, the fastest first."""

BACKENDS = (*DENSE, *reversed(FAST))


def choose(inputs: Inputs, backend: str = "auto") -> Choice:
    """The backend that serves some inputs.

    Errors: RefusalError for an unknown backend, and where one is asked for by name and cannot serve the inputs.
    """
    if not isinstance(backend, str) or backend not in (*BACKENDS, "auto"):
        raise RefusalError(
            f"unknown backend {shown(backend)}{nearest(str(backend), BACKENDS)}; there are {', '.join(BACKENDS)}"
        )
    if backend in DENSE:
        return Choice(backend, "asked for by name")
    if backend != "auto":
        found = _served(inputs, backend)
        if isinstance(found, Choice):
            return found
        raise RefusalError(f'{backend} refuses {format_scheme(inputs.scheme)}: {found}; backend="blocks" accepts it')
    device, reasons = inputs.query.device, []
    for name in ("tiles",) if device.type == "cpu" else FAST:
        found = _served(inputs, name)
        if isinstance(found, Choice):
            if device.type == "cpu" or trusted(Kind.of(inputs), name, run):
                return found
            found = f"it fails its self-test on {device}"
        reasons.append(f"not {name}: {found}")
    return Choice("blocks", "; ".join(reasons))


def _served(inputs: Inputs, backend: str) -> Choice | str:
    """The choice of tiles or of the Triton kernel; or why it cannot serve the inputs."""
    if backend == "triton":
        found = fused.plan(inputs)
        return Choice("triton", "one launch computes all pairs", fused=found) if isinstance(found, Fused) else found
    tiled = plan(inputs)
    return Choice("tiles", "every pair lies in a flash tile", tiled) if isinstance(tiled, Tiled) else tiled.reason


class Refusal(NamedTuple):
    """Why tiles cannot serve some inputs."""

    reason: str


@dataclass(frozen=True, eq=False)
class Tiled:
    """Inputs that tiles serve.

    Arguments:
        inputs: the inputs.
        kernel: computes the tiles.
        spans: all tokens as one span, or the spans of documents.
    """

    inputs: Inputs
    kernel: Kernel
    spans: Span | list[Patch]

    def __call__(self) -> Float[Tensor, "batch heads queries value_dim"]:
        """Attention over flash tiles; memory grows with queries and keys, never with their product.

        A NaN or an inf may come out in rows that do not see it: where the output holds one, blocks compute it again.
        """
        x = self.inputs.readable()
        if isinstance(self.spans, Span):
            out = self._attention(x, self.spans)
        else:
            others = () if self.spans else (x.key, x.value, *x.weights.values())
            out = nothing(x.query, x.value.shape[-1], *others)
            for patch in self.spans:
                out[patch.rows, :, patch.queries.index] = self._attention(patch.of(x), patch.span)
        # Short sums first: adding bfloat16 in float32 at once takes ten times as long.
        total = out.detach().sum(-1).sum(dtype=torch.promote_types(out.dtype, torch.float32))
        return out if isfinite(total) else blocks(x)

    def _attention(self, x: Inputs, span: Span) -> Tensor:
        softmax = SpanSoftmax.of(x, span, self.kernel)
        return softmax.attend(logit=softmax.logit)[0] if softmax.is_all else decompose.attention(softmax)


def plan(inputs: Inputs) -> Tiled | Refusal:
    """What tiles compute for some inputs, found once; or why they cannot."""
    device, scheme = inputs.query.device, inputs.scheme
    kernel = KERNELS.get(device.type)
    if kernel is None:
        return Refusal(f"its flash kernels are those of CPU and CUDA, the inputs are on {device}")
    reason = kernel.refusal(inputs.query.dtype) or refusal(scheme)
    if reason:
        return Refusal(reason)
    regular = needs_steps_of_one(scheme)
    spans = Span.of(inputs.queries, inputs.keys, regular)
    if spans is None:
        spans = patches(inputs.queries, inputs.keys, len(inputs.query), regular)
    return Refusal(spans) if isinstance(spans, str) else Tiled(inputs, kernel, spans)
