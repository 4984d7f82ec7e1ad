"""`attend` under torch.func and for tensors without data: a loop, torch.autograd, and the shape."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from longspan import attend, parse
from longspan.errors import RefusalError, SchemeError, ShapeError

COUNT = 12
EXACT: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-11}
TEXTS = [
    "rope",
    "rerope(4) + log_length(8)",
    "rope + window(3, sinks=1)",
    "alibi + l2",
    "t5 + urpe(4)",
    "rope + sparsemax",
]
LEFT = torch.arange(COUNT)[None] < torch.tensor([[0], [5]])


def drawn(text: str, *mapped: int) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Query, key and value of two rows with grouped queries, and the scheme's learned numbers."""
    tensors = [torch.randn(*mapped, 2, heads, COUNT, 8, dtype=torch.float64) for heads in (4, 2, 2)]
    weights = parse(text).initial_weights(4, 8)
    return tensors, {name: torch.randn(x.shape, dtype=torch.float64) for name, x in weights.items()}


def loss(text: str, names: list[str], **options: Any):
    """A number that depends on every element of the output."""

    def call(query: Tensor, key: Tensor, value: Tensor, *numbers: Tensor) -> Tensor:
        out = attend(query, key, value, text, weights=dict(zip(names, numbers, strict=True)), **options)
        return (out * out.cos()).sum()

    return call


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("options", [{}, {"padding": LEFT}])
def test_gradients_are_those_of_autograd(text: str, options: dict[str, Any]) -> None:
    tensors, weights = drawn(text)
    given = [*tensors, *weights.values()]
    function, places = loss(text, list(weights), **options), tuple(range(len(given)))
    found = torch.func.grad(function, places)(*given)
    pulled = torch.func.vjp(function, *given)[1](torch.ones((), dtype=torch.float64))
    leaves = [x.requires_grad_() for x in given]
    wanted = torch.autograd.grad(function(*leaves), leaves)
    for a, b, c in zip(found, pulled, wanted, strict=True):
        torch.testing.assert_close(a, c, **EXACT)
        torch.testing.assert_close(b, c, **EXACT)


def test_a_jacobian_is_that_of_autograd() -> None:
    query, key, value = (x[:1, :2, :3] for x in drawn("rope")[0])
    for text in ("rope", "kerple_log"):
        weights = {name: x.double() for name, x in parse(text).initial_weights(2, 8).items()}

        def call(key: Tensor, text: str = text, weights: dict[str, Tensor] = weights) -> Tensor:
            return attend(query, key, value, text, weights=weights)

        wanted = torch.autograd.functional.jacobian(call, key)
        torch.testing.assert_close(torch.func.jacrev(call)(key), wanted, **EXACT)


@pytest.mark.parametrize("options", [{}, {"padding": LEFT}, {"key_positions": 2 * torch.arange(COUNT)}])
@pytest.mark.parametrize("dims", [(0, 0, 0), (1, None, 0), (None, 2, None)])
@pytest.mark.parametrize("text", TEXTS)
def test_vmap_is_a_loop(text: str, dims: tuple[int | None, ...], options: dict[str, Any]) -> None:
    tensors, weights = drawn(text, 3)
    given = [x[0] if dim is None else x.movedim(0, dim) for x, dim in zip(tensors, dims, strict=True)]

    def call(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend(query, key, value, text, weights=weights, **options)

    found = torch.vmap(call, in_dims=dims)(*given)
    each = [[x[0] if dim is None else x[i] for x, dim in zip(tensors, dims, strict=True)] for i in range(3)]
    torch.testing.assert_close(found, torch.stack([call(*one) for one in each]), **EXACT)


@pytest.mark.parametrize("text", ["rope + window(4)", "t5"])
def test_gradients_of_every_example(text: str) -> None:
    """vmap of grad, with positions and learned numbers mapped as well as not."""
    tensors, weights = drawn(text, 3)
    padding = torch.stack([LEFT, ~LEFT, LEFT.flip(1)])
    numbers = [x.expand(3, *x.shape) * torch.arange(1, 4).view(3, *[1] * x.ndim) for x in weights.values()]

    def gradients(padding: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        return torch.func.grad(loss(text, list(weights), padding=padding), tuple(range(len(given))))(*given)

    for mapped in (padding, padding[0]):
        dims = (0 if mapped.ndim == 3 else None, *[0] * (3 + len(numbers)))
        found = torch.vmap(gradients, in_dims=dims)(mapped, *tensors, *numbers)
        for i in range(3):
            one = gradients(mapped[i] if mapped.ndim == 3 else mapped, *(x[i] for x in (*tensors, *numbers)))
            for a, b in zip(found, one, strict=True):
                torch.testing.assert_close(a[i], b, **EXACT)


def test_what_has_no_derivative_is_refused() -> None:
    (query, key, value), _ = drawn("rope")

    def call(query: Tensor) -> Tensor:
        return attend(query, key, value, "rope").square().sum()

    with pytest.raises(RefusalError, match=r"forward-mode .*torch\.func\.vjp"):
        torch.func.jvp(call, (query,), (query,))
    with pytest.raises(RefusalError, match=r'second derivative .*backend="reference"'):
        torch.func.grad(lambda x: torch.func.grad(call)(x).sum())(query)


@pytest.mark.parametrize("text", TEXTS)
def test_tensors_without_data_give_the_shape(text: str) -> None:
    (query, key, value), weights = drawn(text)
    narrow = value[..., :5] if not parse(text).reweight else value
    wanted = attend(query, key, narrow, text, weights=weights)
    far = {name: x.to("meta") for name, x in weights.items()}
    out = attend(query.to("meta"), key.to("meta"), narrow.to("meta"), text, weights=far)
    assert (out.shape, out.dtype, out.device.type) == (wanted.shape, wanted.dtype, "meta")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        query, key, value = (mode.from_tensor(x) for x in (query, key, narrow))
        out = attend(query, key, value, text, weights={name: mode.from_tensor(x) for name, x in weights.items()})
    assert (out.shape, out.dtype, out.device) == (wanted.shape, wanted.dtype, wanted.device)


def test_errors_are_the_same_without_data() -> None:
    x = torch.ones(1, 3, 4, 8, device="meta")
    with pytest.raises(ShapeError, match="multiple of key heads"):
        attend(x, x[:, :2], x[:, :2], "rope")
    with pytest.raises(SchemeError, match="unknown method"):
        attend(x, x, x, "ropa")
