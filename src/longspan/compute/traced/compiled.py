"""`attend` as one operation of a compiled graph.

Which tiles a call needs depends on its positions, on learned numbers and on Python values, which a compiler cannot
trace. So the compiler sees one operation whose output has a known shape, and a second one for the gradients, which
computes the output again.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from longspan.compute.inputs import Call, GivenPositions
from longspan.notation import format_scheme
from longspan.scheme import Scheme


def operation(compute: Callable[[Call], Tensor]) -> Callable[[Call], Tensor]:
    """Define `torch.ops.longspan.attend`, which computes a call without a compiler, and give the way to ask for it."""

    def computed(
        content: list[Tensor],
        positions: list[Tensor | None],
        names: str,
        scheme: str,
        scale: float | None,
        backend: str,
    ) -> Tensor:
        query, key, value, *numbers = content
        weights = dict(zip(names.split(","), numbers, strict=True)) if numbers else {}
        return compute(Call(query, key, value, scheme, GivenPositions(*positions), weights, scale, backend))

    @torch.library.custom_op("longspan::attend", mutates_args=())
    def forward(
        content: list[Tensor],
        positions: list[Tensor | None],
        names: str,
        scheme: str,
        scale: float | None,
        backend: str,
    ) -> Tensor:
        with torch.no_grad():
            return computed(content, positions, names, scheme, scale, backend).contiguous()

    @forward.register_fake
    def _(content: list[Tensor], *rest) -> Tensor:
        query, _, value, *_ = content
        return query.new_empty(*query.shape[:3], value.shape[3])

    @torch.library.custom_op("longspan::attend_backward", mutates_args=())
    def backward(
        grad: Tensor,
        content: list[Tensor],
        positions: list[Tensor | None],
        names: str,
        scheme: str,
        scale: float | None,
        backend: str,
    ) -> list[Tensor]:
        with _autograd(), torch.enable_grad():
            given = [x.detach().requires_grad_() for x in content]
            out = computed(given, positions, names, scheme, scale, backend)
            found = torch.autograd.grad(out, given, grad, materialize_grads=True)
        # The outputs of an operation may share memory neither with its arguments nor with each other.
        return [x.detach().clone(memory_format=torch.contiguous_format) for x in found]

    @backward.register_fake
    def _(grad: Tensor, content: list[Tensor], *rest) -> list[Tensor]:
        return [torch.empty_like(x, memory_format=torch.contiguous_format) for x in content]

    def remember(ctx, inputs, output: Tensor) -> None:
        content, positions, *ctx.rest = inputs
        ctx.given = [x is not None for x in positions]
        ctx.save_for_backward(*content, *(x for x in positions if x is not None))

    def differentiate(ctx, grad: Tensor):
        saved = list(ctx.saved_tensors)
        count = len(saved) - sum(ctx.given)
        content, positions = saved[:count], iter(saved[count:])
        found = backward(grad, content, [next(positions) if given else None for given in ctx.given], *ctx.rest)
        return found, None, None, None, None, None

    forward.register_autograd(differentiate, setup_context=remember)

    def asked(call: Call) -> Tensor:
        text = call.scheme if isinstance(call.scheme, str) else _text(call.scheme)
        content = [call.query, call.key, call.value, *call.weights.values()]
        return forward(content, list(call.positions), ",".join(call.weights), text, call.scale, call.backend)

    return asked


@torch.compiler.assume_constant_result
def _text(scheme: Scheme) -> str:
    return format_scheme(scheme)


def _autograd():
    """Autograd inside an operation: the dispatcher leaves it out below an operation's own entry."""
    tls = torch._C
    left_out = tls._dispatch_tls_local_exclude_set()
    for name in ("AutogradCPU", "ADInplaceOrView", "AutogradOther", "AutogradCUDA"):
        left_out = left_out.remove(getattr(tls.DispatchKey, name))
    return tls._ForceDispatchKeyGuard(tls._dispatch_tls_local_include_set(), left_out)
