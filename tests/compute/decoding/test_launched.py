"""A step of the Triton kernel writes and rotates no more with a longer cache or window, and never waits.

That it computes what the reference computes is in tests/contract/test_triton.py. Without a GPU the interpreter runs it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from imitated_device import DEVICE, Elsewhere, ImitatedDevice, here
from longspan import Cache, attend, parse
from longspan.compute import rotate
from longspan.compute.decoding import launched as launched_module
from longspan.compute.decoding.launched import LaunchedStep
from longspan.compute.fused import attention as fused_module
from longspan.compute.kernels.triton import forward
from longspan.compute.kernels.triton import launch as launch_module
from longspan.memo import forget

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="Triton's interpreter is for machines without a GPU")

SCHEMES = [
    "rope",
    "rerope({w})",
    "leaky_rerope({w}, k=4)",
    "self_extend({w}, 4) + log_length(64)",
    "rope + window({w}, sinks=4)",
    "rope(layout=interleaved, partial=0.5) + rerope({w})",
    "dual_chunk({w}, 8)",
    "rerope({w}) + softcap(5.0) + softmax_plus_one",
]
"""`w` is the length of what is near."""


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    forget()
    yield
    forget()


class Written(TorchDispatchMode):
    """Counts the bytes of all results that are no views."""

    bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and not function.is_view:
            self.bytes += out.nbytes
        return out


@contextmanager
def kernels_are_free() -> Iterator[None]:
    """What the interpreter itself does with tensors is no work of a step."""

    def nothing(*_: Any, **__: Any) -> None:
        return

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch_module, "launch", nothing)
        yield


def layers(text: str, length: int) -> tuple[list[Cache], list[Tensor]]:
    """Two caches that have read a prompt and a token, and the query, key and value of the next token."""
    x = [torch.randn(1, heads, length, 16) for heads in (4, 2, 2)]
    caches = [Cache(text, weights=parse(text).initial_weights(4, 16), backend="triton") for _ in range(2)]
    with kernels_are_free():
        for cache in caches:
            cache.attend(*x)
            cache.attend(*(t[:, :, -1:] for t in x))
    return caches, [t[:, :, -1:] for t in x]


@pytest.mark.parametrize("text", SCHEMES)
def test_what_a_step_writes_does_not_grow(text: str) -> None:
    """Bytes of a layer's step whose like another layer has prepared: the token, its query and the output."""
    found, token = set(), []
    for length, near in ((200, 32), (1000, 32), (1000, 512)):
        (first, second), token = layers(text.format(w=near), length)
        with kernels_are_free():
            first.attend(*token)
            with Written() as written:
                second.attend(*token)
        found.add(written.bytes)
    # A query rotates once for each branch that some key lies in: dual_chunk has two or three.
    assert max(found) - min(found) <= token[0].nbytes
    assert max(found) < 8 * token[0].nbytes


@pytest.mark.parametrize("text", SCHEMES)
def test_a_step_rotates_the_new_token_alone(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the step that prepares what the other layers do."""
    (cache, _), token = layers(text.format(w=32), 300)
    tokens: list[int] = []
    right = rotate.rotate_channels

    def counted(x: Tensor, *more: Any) -> Tensor:
        tokens.append(x.shape[2])
        return right(x, *more)

    monkeypatch.setattr(rotate, "rotate_channels", counted)
    with kernels_are_free():
        cache.attend(*token)
    assert sum(tokens) <= 2, tokens  # the key, and a matrix for the query


@pytest.mark.parametrize(
    ("text", "dtype", "count"),
    [
        ("alibi", torch.float32, 0), ("rope + softcap(5.0)", torch.float32, 0),
        ("alibi", torch.bfloat16, 1), ("rope", torch.float32, 1),
    ],
)  # fmt: skip
def test_registers_hold_no_bias_beside_wide_heads_of_float32(
    text: str, dtype: torch.dtype, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launched_module, "WIDEST_FLOAT32", 8)
    called = []
    monkeypatch.setattr(LaunchedStep, "__call__", lambda _, query, *rest: called.append(query) or query)
    x = [torch.randn(1, 2, 20, 16, dtype=dtype) for _ in range(3)]
    cache = Cache(text, backend="triton")
    with kernels_are_free():
        cache.attend(*x)
        cache.attend(*(t[:, :, -1:] for t in x))
    assert len(called) == count


def test_the_angles_of_a_window_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (cache, _), token = layers("rerope(32)", 300)
    monkeypatch.setattr(launched_module, "pair_tables", lambda *_: pytest.fail("made again"))
    with kernels_are_free():
        for _ in range(3):
            cache.attend(*token)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[LaunchedStep]:
    """The steps that are launched; the imitated device runs kernels, in the interpreter."""
    right, call, found = launch_module.launch, LaunchedStep.__call__, []

    def on_the_cpu(kernel: Any, grid: Any, config: Any, **arguments: Any) -> None:
        numbers = {name: x.numbers if isinstance(x, Elsewhere) else x for name, x in arguments.items()}
        right(kernel, grid, config, **numbers)

    def noted(self: LaunchedStep, *given: Any) -> Tensor:
        found.append(self)
        return call(self, *given)

    monkeypatch.setattr(launch_module, "launch", on_the_cpu)
    monkeypatch.setattr(LaunchedStep, "__call__", noted)
    monkeypatch.setattr(fused_module, "DEVICES", (DEVICE.type,))
    monkeypatch.setattr("longspan.compute.self_test.TOKENS", 40)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return found


@pytest.mark.parametrize(
    ("text", "padded"),
    [*((text, False) for text in SCHEMES), ("alibi + window({w})", False), ("rerope({w}) + log_length(64)", True)],
)
def test_a_step_never_waits_for_the_device(text: str, padded: bool, steps: list[LaunchedStep]) -> None:
    """Not the first one of its kind either, and its numbers are right."""
    scheme = parse(text.format(w=12))
    count, padding = 24, torch.arange(24)[None] < torch.tensor([[0], [3]])
    query, key, value = (torch.randn(2, heads, count, 16) for heads in (4, 2, 2))
    weights = scheme.initial_weights(4, 16)
    hidden = padding if padded else None
    wanted = attend(query, key, value, scheme, weights=weights, padding=hidden)
    with torch.no_grad(), ImitatedDevice() as device:
        moved = [t.to(DEVICE) for t in (query, key, value)]
        cache = Cache(scheme, weights={name: w.to(DEVICE) for name, w in weights.items()}, backend="triton")
        prompt = None if hidden is None else hidden[:, :22].to(DEVICE)
        cache.attend(*(t[:, :, :22] for t in moved), padding=prompt)
        device.waits.clear()
        outs = [cache.attend(*(t[:, :, i : i + 1] for t in moved)) for i in range(22, count)]
        assert not device.waits, device.waits
    assert len(steps) >= count - 22
    torch.testing.assert_close(torch.cat([here(out) for out in outs], 2), wanted[:, :, 22:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("broken", [False, True])
def test_auto_launches_steps_on_a_device_that_passes_the_self_test(
    broken: bool, steps: list[LaunchedStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a kernel that is wrong for few queries only, a step is written out in PyTorch instead."""
    if broken:
        right = launched_module.side_by_side
        monkeypatch.setattr(launched_module, "side_by_side", lambda *given: 1.01 * right(*given))
    query, key, value = (torch.randn(1, heads, 24, 16) for heads in (4, 2, 2))
    wanted = attend(query, key, value, "rerope(16)")[:, :, -1:]
    with torch.no_grad(), ImitatedDevice():
        moved = [t.to(DEVICE) for t in (query, key, value)]
        cache = Cache("rerope(16)")
        with pytest.warns(RuntimeWarning, match="decoding steps differ") if broken else nullcontext():
            cache.attend(*(t[:, :, :-1] for t in moved))
        steps.clear()
        out = cache.attend(*(t[:, :, -1:] for t in moved))
    assert bool(steps) != broken
    torch.testing.assert_close(here(out), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_programs_share_the_blocks_of_all_sweeps(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many share them, the output is the same, and none visits two blocks more than another."""
    visited: list[int] = []
    bounds, visit = forward.shared_blocks, forward.attend_block

    def begun(*given: Any) -> Any:
        visited.append(0)
        return bounds(*given)

    def counted(*given: Any) -> Any:
        visited[-1] += 1
        return visit(*given)

    monkeypatch.setattr(forward, "shared_blocks", begun)
    monkeypatch.setattr(forward, "attend_block", counted)
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, heads, 400, 16, generator=generator) for heads in (4, 2, 2))
    wanted = attend(query[:, :, -2:], key, value, "rerope(100) + softmax_plus_one", backend="reference")
    monkeypatch.setattr(launch_module, "splits", lambda *_: parts)
    found = attend(query[:, :, -2:], key, value, "rerope(100) + softmax_plus_one", backend="triton")
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert len(visited) == 2 * parts  # for two key heads
    assert max(visited) - min(visited) <= 1, visited


@pytest.mark.parametrize("width", [1, 8, 24])
@pytest.mark.parametrize("text", ["rope", "rerope(3)"])
def test_values_of_any_width_behind_padding_and_in_documents(text: str, width: int) -> None:
    query, key = torch.randn(2, 4, 2, 16), torch.randn(2, 2, 9, 16)
    value, padding = torch.randn(2, 2, 9, width), torch.arange(9)[None] < torch.tensor([[4], [0]])
    documents = (torch.arange(9)[None] > torch.tensor([[6], [2]])).long()
    options: dict[str, Any]
    for options in ({"padding": padding}, {"documents": documents}):
        out, wanted = (attend(query, key, value, text, backend=name, **options) for name in ("triton", "reference"))
        assert out.shape == wanted.shape
        torch.testing.assert_close(out, wanted, rtol=1e-5, atol=1e-5)
