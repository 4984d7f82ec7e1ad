"""`attend` under the transforms of torch.func.

Which tiles a call needs depends on numbers, which a transform cannot trace. So the transform sees one function whose
gradients are a second function, as a compiler does; a dimension that `torch.vmap` maps over joins the batch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from longspan.compute.inputs import Call, GivenPositions
from longspan.errors import RefusalError
from longspan.scheme import Scheme


@dataclass(frozen=True)
class Function:
    """A call without its tensors, as a function of them.

    Arguments:
        compute: computes a call outside of any transform.
        scheme, scale, backend: of the call.
        names: of the call's learned numbers.
    """

    compute: Callable[[Call], Tensor]
    scheme: Scheme
    names: tuple[str, ...]
    scale: float | None
    backend: str

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, *rest: Tensor | None) -> Tensor:
        """The output, for positions (four tensors or None) and then learned numbers in the order of their names."""
        positions, weights = GivenPositions(*rest[:4]), dict(zip(self.names, rest[4:], strict=True))
        return self.compute(Call(query, key, value, self.scheme, positions, weights, self.scale, self.backend))  # pyright: ignore[reportArgumentType]


def attend(call: Call, compute: Callable[[Call], Tensor]) -> Tensor:
    """Compute a call under a transform; `compute` computes one without."""
    function = Function(compute, call.check(), tuple(call.weights), call.scale, call.backend)
    return _Attention.apply(function, call.query, call.key, call.value, *call.positions, *call.weights.values())  # pyright: ignore[reportReturnType]


class _Once(torch.autograd.Function):
    """A `Function` and its tensors, without forward-mode derivatives."""

    generate_vmap_rule = False

    @staticmethod
    def jvp(ctx, *tangents: Any) -> NoReturn:
        """Refuse."""
        raise RefusalError(
            "attend has no forward-mode derivative (torch.func.jvp, jacfwd, hessian): use torch.func.vjp or jacrev"
        )


class _Attention(_Once):
    """The output of a call."""

    @staticmethod
    def forward(function: Function, *tensors: Tensor | None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the output, outside any graph."""
        with torch.no_grad():
            return function(*tensors)  # pyright: ignore[reportArgumentType]

    @staticmethod
    def setup_context(ctx, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the tensors that the gradients are computed from."""
        ctx.function, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the output again, and its gradients; positions have none."""
        found = _Gradients.apply(ctx.function, grad, *ctx.saved_tensors)
        assert isinstance(found, tuple)
        return None, *found[:3], None, None, None, None, *found[3:]

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info, in_dims: tuple[Any, ...], function: Function, *tensors: Tensor | None
    ) -> tuple[Tensor, int]:
        """Compute one call with the mapped dimension in the batch, or several where not only content is."""
        size, dims = info.batch_size, in_dims[1:]
        if any(dim is not None for dim in dims[3:]):
            outs = [_Attention.apply(function, *_picked(tensors, dims, i)) for i in range(size)]
            return torch.stack(outs), 0  # pyright: ignore[reportArgumentType]
        out = _Attention.apply(function, *_folded(tensors, dims, size, 3))
        return out.unflatten(0, (size, -1)), 0  # pyright: ignore[reportAttributeAccessIssue]


class _Gradients(_Once):
    """The gradients of query, key, value and learned numbers, for a gradient of the output and the call's tensors."""

    @staticmethod
    def forward(function: Function, grad: Tensor, *tensors: Tensor | None) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the gradients, by a graph of their own."""
        with torch.enable_grad(), _saved_tensor_hooks():
            rest = list(tensors)
            given = [i for i in range(len(rest)) if not 3 <= i < 7]
            for i in given:
                rest[i] = rest[i].detach().requires_grad_()  # pyright: ignore[reportOptionalMemberAccess]
            out, wanted = function(*rest), [rest[i] for i in given]  # pyright: ignore[reportArgumentType]
            return torch.autograd.grad(out, wanted, grad, materialize_grads=True)  # pyright: ignore[reportCallIssue, reportArgumentType]

    @staticmethod
    def setup_context(ctx, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx, *grads: Tensor) -> NoReturn:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Refuse."""
        raise RefusalError(
            "attend has no second derivative under torch.func: use torch.autograd.grad(..., create_graph=True) "
            'outside of it, with backend="reference"'
        )

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info, in_dims: tuple[Any, ...], function: Function, *tensors: Tensor | None
    ):
        """Do as for the output; learned numbers have one gradient per call, so they need several calls."""
        size, dims = info.batch_size, in_dims[1:]
        if function.names or any(dim is not None for dim in dims[4:]):
            calls = [_Gradients.apply(function, *_picked(tensors, dims, i)) for i in range(size)]
            found = [torch.stack(each) for each in zip(*calls, strict=True)]  # pyright: ignore[reportArgumentType]
        else:
            found = [x.unflatten(0, (size, -1)) for x in _Gradients.apply(function, *_folded(tensors, dims, size, 4))]  # pyright: ignore[reportGeneralTypeIssues]
        return tuple(found), (0,) * len(found)


@contextmanager
def _saved_tensor_hooks() -> Iterator[None]:
    """Allow gradient checkpointing, which torch.func disables; no other code uses the graph inside."""
    hooks: Any = torch._C._autograd  # pyright: ignore[reportAttributeAccessIssue]
    message = hooks._saved_tensors_hooks_get_disabled_error_message()
    if message is not None:
        hooks._saved_tensors_hooks_enable()
    try:
        yield
    finally:
        if message is not None:
            hooks._saved_tensors_hooks_disable(message)


def _picked(tensors: tuple[Tensor | None, ...], dims: tuple[int | None, ...], i: int) -> list[Tensor | None]:
    """The tensors of call i."""
    return [x if x is None or dim is None else x.select(dim, i) for x, dim in zip(tensors, dims, strict=True)]


def _folded(
    tensors: tuple[Tensor | None, ...], dims: tuple[int | None, ...], size: int, content: int
) -> list[Tensor | None]:
    """All calls as one: the first `content` tensors get a larger batch, positions with a batch are repeated."""
    folded: list[Tensor | None] = []
    for i, (x, dim) in enumerate(zip(tensors, dims, strict=True)):
        if x is None or i >= content + 4:
            folded.append(x)
        elif i < content:
            folded.append((x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)).flatten(0, 1))
        else:
            folded.append(x.repeat(size, *[1] * (x.ndim - 1)) if x.ndim > 1 and len(x) > 1 else x)
    return folded
