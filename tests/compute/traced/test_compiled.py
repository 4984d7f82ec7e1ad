"""Compiled callers hold `attend` as one operation, without breaking their graph, and get the same."""

from typing import Any

import jaxtyping
import pytest
import torch

from longspan import attend, parse
from longspan.scheme import Scheme

Tensors = tuple[torch.Tensor, ...]


@pytest.fixture(autouse=True)
def _fresh_compiler(monkeypatch: pytest.MonkeyPatch):
    # The compiler cannot trace the checks of annotations, which only tests enable.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    yield
    torch.compiler.reset()


def drawn(scheme: Scheme) -> tuple[Tensors, dict[str, torch.Tensor]]:
    """Query, key and value of two rows with grouped queries, and the scheme's learned numbers."""
    generator = torch.Generator().manual_seed(0)
    tensors = tuple(torch.randn(2, h, 30, 8, dtype=torch.float64, generator=generator) for h in (4, 2, 2))
    weights = scheme.initial_weights(4, 8, generator)
    return tensors, {name: torch.randn(x.shape, generator=generator).double() for name, x in weights.items()}


LEFT = torch.arange(30)[None] < torch.tensor([[3], [7]])


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("rope", {}),
        ("rerope(5) + log_length(8)", {"scale": 0.4}),
        ("rope + window(4)", {"padding": LEFT}),
        ("rerope(5)", {"padding": LEFT.flip(1) ^ LEFT.roll(4, 1), "documents": torch.arange(30)[None] // 9 % 2}),
        ("rope", {"key_positions": 3 * torch.arange(30), "documents": LEFT.long()}),
        ("alibi + l2", {}),
        ("t5 + urpe(4)", {}),
        ("rope + sparsemax", {"backend": "blocks"}),
    ],
)
def test_compiled_is_eager(text: str, options: dict[str, Any]) -> None:
    """Outputs to the bit, for the whole graph at once; gradients are sums over tensors that lie otherwise in memory."""
    tensors, weights = drawn(parse(text))

    def caller(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *numbers: torch.Tensor) -> torch.Tensor:
        learned = dict(zip(weights, numbers, strict=True))
        return attend(query * 2, key, value, text, weights=learned, **options).sin()

    given = [x.requires_grad_() for x in (*tensors, *weights.values())]
    compiled = torch.compile(caller, fullgraph=True, backend="aot_eager")
    out, wanted = compiled(*given), caller(*given)
    torch.testing.assert_close(out, wanted, rtol=0, atol=0)
    grads, wanted_grads = (torch.autograd.grad(x.sum(), given) for x in (out, wanted))
    for found, plain in zip(grads, wanted_grads, strict=True):
        torch.testing.assert_close(found, plain, rtol=1e-13, atol=1e-13)


def test_every_scheme_compiles_for_itself() -> None:
    """A scheme given as an object becomes part of the graph; another object makes another graph."""
    (query, key, value), _ = drawn(Scheme())
    compiled = torch.compile(lambda scheme: attend(query, key, value, scheme), fullgraph=True, backend="aot_eager")
    for text in ("rope", "rerope(5)", "rope", "rope + window(3)"):
        torch.testing.assert_close(compiled(parse(text)), attend(query, key, value, text), rtol=0, atol=0)


def test_lengths_may_change() -> None:
    (query, key, value), _ = drawn(Scheme())

    def caller(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return query + attend(query, key, value, "rerope(5)")

    compiled = torch.compile(caller, fullgraph=True, dynamic=True, backend="aot_eager")
    for length in (30, 17, 5):
        cut = query[:, :, :length], key[:, :, :length], value[:, :, :length]
        torch.testing.assert_close(compiled(*cut), caller(*cut), rtol=0, atol=0)


def test_the_operation_is_sound() -> None:
    """PyTorch's own checks of an operation: schema, shapes without data, autograd under a compiler."""
    (query, key, value), weights = drawn(parse("t5"))
    given = [x.requires_grad_() for x in (query, key, value, *weights.values())]
    arguments = (given, [None] * 4, "bias.table", "t5", None, "auto")
    torch.library.opcheck(torch.ops.longspan.attend.default, arguments)
