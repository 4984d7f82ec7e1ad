"""The path of CUDA without a GPU: its calls meet the kernels' demands, and add up to the reference."""

import pytest
import torch

from compute import imitation
from longspan import attend, parse
from longspan.compute.kernels import cuda
from longspan.errors import RefusalError

TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 0.05, torch.float16: 8e-3}
"""Of outputs and gradients of size one: a few roundings of each type."""


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "text",
    ["rope", "rerope(20)", "rope + window(30, sinks=2)", "rope + window(1)", "alibi", "alibi + window(30)", "xpos",
     "rope + bidirectional", "rope + softmax_plus_one", "self_extend(16, 4)", "dynamic_ntk(trained_length=40)",
     "rope + shaw(9)", "rope + urpe(9)", "rope + l2", "t5", "rope + log_length(30)"],
)  # fmt: skip
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_imitated_kernels_add_up_to_the_reference(
    monkeypatch: pytest.MonkeyPatch, kv_heads: int, text: str, dtype: torch.dtype
) -> None:
    """Grouped queries, heads of 12 (no multiple of 8), two rows; masks in several pieces."""
    imitation.install(monkeypatch)
    monkeypatch.setattr(cuda, "MASKED", 4000)
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(2, h, 101, 12, generator=generator).to(dtype) for h in (4, kv_heads, kv_heads)]
    scheme = parse(text)
    weights = {n: x + 0.3 * torch.rand(x.shape, generator=generator) for n, x in scheme.initial_weights(4, 12).items()}
    results = []
    for backend in ("tiles", "reference"):
        kind = dtype if backend == "tiles" else torch.float64
        tensors = [x.to(kind).requires_grad_() for x in given]
        numbers = {name: x.to(torch.promote_types(kind, torch.float32)).requires_grad_() for name, x in weights.items()}
        q, k, v = tensors
        out = attend(q, k, v, scheme, weights=numbers, backend=backend)
        grads = torch.autograd.grad(out.double().square().sum(), [*tensors, *numbers.values()])
        results.append([out.detach(), *grads])
    for found, wanted in zip(*results, strict=True):
        size = max(1.0, float(wanted.abs().max()))
        torch.testing.assert_close(found.double() / size, wanted / size, rtol=0, atol=TOLERANCE[dtype])


def test_older_cards_and_large_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Ampere the memory-efficient kernel takes 16 bits; more blocks than a launch can count go in several."""
    imitation.install(monkeypatch, ampere=False)
    monkeypatch.setattr(cuda, "BATCH", 4)
    q, k, v = (torch.randn(1, h, 90, 8, dtype=torch.bfloat16) for h in (4, 2, 2))
    tensors = [x.requires_grad_() for x in (q, k, v)]
    out, wanted = (attend(q, k, v, "rope + window(7)", backend=backend) for backend in ("tiles", "reference"))
    torch.testing.assert_close(out, wanted, rtol=0, atol=0.05)
    grads, wanted_grads = (torch.autograd.grad(x.float().square().sum(), tensors) for x in (out, wanted))
    for found, plain in zip(grads, wanted_grads, strict=True):
        torch.testing.assert_close(found, plain, rtol=0.02, atol=0.05)


def test_float64_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    imitation.install(monkeypatch)
    x = torch.randn(1, 2, 9, 8, dtype=torch.float64)
    with pytest.raises(RefusalError, match="no flash kernel of CUDA computes in float64"):
        attend(x, x, x, "rope", backend="tiles")


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("masked", [False, True])
def test_schemas_and_shapes_of_the_real_kernels(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, masked: bool
) -> None:
    """PyTorch's own shape functions of CUDA's kernels take these calls, and give what the next call needs."""
    monkeypatch.setattr(cuda, "_ampere", lambda device: True)
    query = torch.empty(3, 4, 50, 16, dtype=dtype, device="meta")
    key = torch.empty(3, 2, 50, 16, dtype=dtype, device="meta")
    mask = torch.empty(1, 4, 50, 50, device="meta") if masked else None
    out, lse = cuda.forward(query, key, key, 0.3, not masked, mask)
    grads = cuda.backward(out, query, key, key, out, lse, 0.3, not masked, mask)
    assert (out.shape, out.dtype) == (query.shape, dtype)
    assert (lse.shape, lse.dtype) == (query.shape[:3], torch.float32)
    for found, like in zip(grads, (query, key, key), strict=True):
        assert (found.shape, found.dtype) == (like.shape, dtype)
