"""`attend` under the transforms of torch.func, and for tensors that have a shape but no data.

Which tiles there are depends on numbers, so a transform can trace none of it. It sees one function whose gradients are
a second one, as a compiler does; a dimension that `torch.vmap` maps over joins the batch.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch._subclasses import FakeTensor

from longspan.compute.inputs import check_arguments, check_tensors
from longspan.compute.run import Positions, call, known_scheme
from longspan.compute.traced import compiled
from longspan.errors import RefusalError
from longspan.scheme import Scheme


@dataclass(frozen=True)
class Asked:
    """What a call is given besides tensors: the scheme, the names of its learned numbers, scale and backend."""

    scheme: Scheme
    names: tuple[str, ...]
    scale: float | None
    backend: str

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, *rest: Tensor | None) -> Tensor:
        """The output, for positions (four tensors or None) and then learned numbers in the order of their names."""
        positions, learned = rest[:4], dict(zip(self.names, rest[4:], strict=True))
        return call(query, key, value, self.scheme, positions, learned, self.scale, self.backend)  # pyright: ignore[reportArgumentType]


def is_needed(query: Tensor) -> bool:
    """Whether a transform of torch.func is at work, or a tensor has no data."""
    return torch._C._are_functorch_transforms_active() or _is_empty(query)


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
    """`longspan.attend` under a transform; an empty tensor of the right shape where the query has no data."""
    scheme = known_scheme(scheme)
    check_arguments(query, key, value, positions, weights, scale)
    if _is_empty(query):
        check_tensors(query, key, value)
        return compiled.attend(query, key, value, scheme, positions, weights, scale, backend)
    asked = Asked(scheme, tuple(weights), scale, backend)
    return _Attention.apply(asked, query, key, value, *positions, *weights.values())  # pyright: ignore[reportReturnType]


def _is_empty(x: Tensor) -> bool:
    return isinstance(x, FakeTensor) or (isinstance(x, Tensor) and x.is_meta)


class _Once(torch.autograd.Function):
    """A function of `Asked` and of tensors, without forward-mode derivatives."""

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
    def forward(asked: Asked, *tensors: Tensor | None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute it, outside any graph."""
        with torch.no_grad():
            return asked(*tensors)  # pyright: ignore[reportArgumentType]

    @staticmethod
    def setup_context(ctx, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the gradients are computed from."""
        ctx.asked, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the output again, and its gradients; coordinates have none."""
        found = _Gradients.apply(ctx.asked, grad, *ctx.saved_tensors)
        assert isinstance(found, tuple)
        return None, *found[:3], None, None, None, None, *found[3:]

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info, in_dims: tuple[Any, ...], asked: Asked, *tensors: Tensor | None
    ) -> tuple[Tensor, int]:
        """One call with the mapped dimension in the batch; one after the other where more than content is mapped."""
        size, dims = info.batch_size, in_dims[1:]
        if any(dim is not None for dim in dims[3:]):
            outs = [_Attention.apply(asked, *_picked(tensors, dims, i)) for i in range(size)]
            return torch.stack(outs), 0  # pyright: ignore[reportArgumentType]
        out = _Attention.apply(asked, *_folded(tensors, dims, size, 3))
        return out.unflatten(0, (size, -1)), 0  # pyright: ignore[reportAttributeAccessIssue]


class _Gradients(_Once):
    """The gradients of query, key, value and learned numbers, for a gradient of the output and the call's tensors."""

    @staticmethod
    def forward(asked: Asked, grad: Tensor, *tensors: Tensor | None) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute them, by a graph of their own."""
        with torch.enable_grad(), _saved_tensor_hooks():
            rest = list(tensors)
            given = [i for i in range(len(rest)) if not 3 <= i < 7]
            for i in given:
                rest[i] = rest[i].detach().requires_grad_()  # pyright: ignore[reportOptionalMemberAccess]
            out, wanted = asked(*rest), [rest[i] for i in given]  # pyright: ignore[reportArgumentType]
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
        info, in_dims: tuple[Any, ...], asked: Asked, *tensors: Tensor | None
    ):
        """As of the output; learned numbers have a gradient for each call, so those go one after the other."""
        size, dims = info.batch_size, in_dims[1:]
        if asked.names or any(dim is not None for dim in dims[4:]):
            calls = [_Gradients.apply(asked, *_picked(tensors, dims, i)) for i in range(size)]
            found = [torch.stack(each) for each in zip(*calls, strict=True)]  # pyright: ignore[reportArgumentType]
        else:
            found = [x.unflatten(0, (size, -1)) for x in _Gradients.apply(asked, *_folded(tensors, dims, size, 4))]  # pyright: ignore[reportGeneralTypeIssues]
        return tuple(found), (0,) * len(found)


@contextmanager
def _saved_tensor_hooks() -> Iterator[None]:
    """Allow gradient checkpointing, which torch.func turns off; the graph inside is nobody else's."""
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
    """The tensors of one call of several."""
    return [x if x is None or dim is None else x.select(dim, i) for x, dim in zip(tensors, dims, strict=True)]


def _folded(
    tensors: tuple[Tensor | None, ...], dims: tuple[int | None, ...], size: int, content: int
) -> list[Tensor | None]:
    """All calls as one: the first `content` tensors with a larger batch, positions that have a batch repeated."""
    folded: list[Tensor | None] = []
    for i, (x, dim) in enumerate(zip(tensors, dims, strict=True)):
        if x is None or i >= content + 4:
            folded.append(x)
        elif i < content:
            folded.append((x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)).flatten(0, 1))
        else:
            folded.append(x.repeat(size, *[1] * (x.ndim - 1)) if x.ndim > 1 and len(x) > 1 else x)
    return folded
