"""`attend` as one operation of a compiled graph.

Which tiles there are depends on where tokens stand, on learned numbers and on what is no number: a compiler can trace
none of it. So it sees one operation whose output has a known shape, and another one for the gradients, which computes
the output again.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from longspan.compute.run import Positions, call
from longspan.notation import format_scheme
from longspan.scheme import Scheme


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scheme: Scheme | str,
    positions: Positions,
    weights: Mapping[str, Tensor],
    scale: float | None,
    backend: str,
) -> Tensor:
    """`longspan.attend` while a compiler traces its caller."""
    text = scheme if isinstance(scheme, str) else _text(scheme)
    return _forward(query, key, value, *positions, list(weights.values()), ",".join(weights), text, scale, backend)


@torch.compiler.assume_constant_result
def _text(scheme: Scheme) -> str:
    return format_scheme(scheme)


@torch.library.custom_op("longspan::attend", mutates_args=())
def _forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_positions: Tensor | None,
    key_positions: Tensor | None,
    documents: Tensor | None,
    padding: Tensor | None,
    weights: list[Tensor],
    names: str,
    scheme: str,
    scale: float | None,
    backend: str,
) -> Tensor:
    positions = query_positions, key_positions, documents, padding
    with torch.no_grad():
        return _called(query, key, value, positions, weights, names, scheme, scale, backend).contiguous()


@_forward.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, *rest) -> Tensor:
    return query.new_empty(*query.shape[:3], value.shape[3])


def _called(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    positions: Positions,
    weights: list[Tensor],
    names: str,
    scheme: str,
    scale: float | None,
    backend: str,
) -> Tensor:
    learned = dict(zip(names.split(","), weights, strict=True)) if weights else {}
    return call(query, key, value, scheme, positions, learned, scale, backend)


@torch.library.custom_op("longspan::attend_backward", mutates_args=())
def _backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_positions: Tensor | None,
    key_positions: Tensor | None,
    documents: Tensor | None,
    padding: Tensor | None,
    weights: list[Tensor],
    names: str,
    scheme: str,
    scale: float | None,
    backend: str,
) -> list[Tensor]:
    positions = query_positions, key_positions, documents, padding
    with _autograd(), torch.enable_grad():
        query, key, value, *weights = given = [x.detach().requires_grad_() for x in (query, key, value, *weights)]
        out = _called(query, key, value, positions, weights, names, scheme, scale, backend)
        found = torch.autograd.grad(out, given, grad, materialize_grads=True)
    # What an operation gives may share no memory with what it was given, nor with what else it gives.
    return [x.detach().clone(memory_format=torch.contiguous_format) for x in found]


@_backward.register_fake
def _(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *rest) -> list[Tensor]:
    return [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (query, key, value, *rest[4])]


def _autograd():
    """Autograd inside an operation: the dispatcher leaves it out below an operation's own entry."""
    tls = torch._C
    left_out = tls._dispatch_tls_local_exclude_set()
    for name in ("AutogradCPU", "ADInplaceOrView", "AutogradOther", "AutogradCUDA"):
        left_out = left_out.remove(getattr(tls.DispatchKey, name))
    return tls._ForceDispatchKeyGuard(tls._dispatch_tls_local_include_set(), left_out)


def _remember(ctx, inputs, output: Tensor) -> None:
    tensors, ctx.rest = inputs[:7], inputs[8:]
    ctx.given = [x is not None for x in tensors]
    ctx.save_for_backward(*(x for x in tensors if x is not None), *inputs[7])


def _differentiate(ctx, grad: Tensor):
    saved = list(ctx.saved_tensors)
    tensors = [saved.pop(0) if given else None for given in ctx.given]
    found = _backward(grad, *tensors, saved, *ctx.rest)
    return *found[:3], None, None, None, None, found[3:], None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_remember)
