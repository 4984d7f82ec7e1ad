"""Under `torch.autocast` attention gives what it gives outside of it for tensors of autocast's type, to the bit."""

import jaxtyping
import pytest
import torch
from torch import Tensor

from longspan.autocast import lowered
from longspan.compute.attend import attend
from longspan.compute.cache import Cache
from longspan.compute.compressed import CompressedCache
from longspan.notation import parse

SCHEMES = (
    "rope", "rerope(window=6)", "xpos", "kerple_log", "rope + key_norm", "rope + softcap(5)", "rope + window(8)",
    "rope + log_length(8)", "nope + sparsemax", "nope + softmax_plus_one", "rope + urpe", "shaw",
)  # fmt: skip
BACKENDS = ("auto", "blocks", "reference")
TOKENS = 24


def given(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 4, TOKENS, 8), (2, 2, TOKENS, 8), (2, 2, TOKENS, 8)
    query, key, value = (torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
    return query, key, value


def weights(text: str) -> dict[str, Tensor]:
    return parse(text).initial_weights(4, 8, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("text", SCHEMES)
def test_output_and_gradients_are_those_of_lower_tensors(text: str, backend: str) -> None:
    found = []
    for mixed in (True, False):
        leaves, learned = [x.requires_grad_() for x in given()], weights(text)
        for number in learned.values():
            number.requires_grad_()
        query, key, value = leaves if mixed else (x.bfloat16() for x in leaves)
        if mixed:  # as in a model: rotation leaves queries and keys in float32, a projection lowers values
            value = value.bfloat16()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            out = attend(query, key, value, text, weights=learned, backend=backend)
        out.float().square().sum().backward()
        found.append([out.detach(), *(leaf.grad for leaf in (*leaves, *learned.values()))])
    assert found[0][0].dtype == torch.bfloat16
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_compiled_graph_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # The compiler cannot trace the checks of annotations, which only tests enable.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)

    def call(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend(query, key, value, "rerope(window=6)")

    with torch.autocast("cpu", torch.bfloat16):
        found = torch.compile(call, backend="aot_eager", fullgraph=True)(*given())
        mapped = torch.func.vjp(call, *given())[0]
    wanted = call(*given(torch.bfloat16))
    assert torch.equal(found, wanted)
    assert torch.equal(mapped, wanted)


@pytest.mark.parametrize("kind", [Cache, CompressedCache])
def test_caches_read_lower_tensors(kind: type[Cache | CompressedCache]) -> None:
    text = "rerope(window=6)" + (" + compressed(codes=4)" if kind is CompressedCache else "")
    found = []
    for mixed in (True, False):
        cache, tensors = kind(text), given() if mixed else given(torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            found.append([cache.attend(*(x[:, :, a:b] for x in tensors)) for a, b in ((0, 20), (20, 21), (21, 24))])
    assert found[0][1].dtype == torch.bfloat16
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_float64_and_whole_numbers_stay_and_so_does_everything_outside() -> None:
    tensors = torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.long), torch.ones(2)
    assert all(x is y for x, y in zip(lowered(*tensors), tensors, strict=True))
    with torch.autocast("cpu", torch.float16):
        assert [x.dtype for x in lowered(*tensors)] == [torch.float64, torch.long, torch.float16]
