"""What this machine computes attention with: every fast backend tested on every device, and what `auto` takes there."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import torch
from torch.nn.functional import scaled_dot_product_attention

from longspan.bench.attention import PREFILL, scheme_of
from longspan.compute.attend import FAST, choose, run
from longspan.compute.inputs import Inputs
from longspan.compute.places import contiguous
from longspan.compute.self_test import Kind, Outcome, self_test, small
from longspan.scheme import Scheme

HEADS, HEAD_DIM = 8, 64
ROUNDS = 5

SCHEMES = ("rope", *PREFILL)


@dataclass(frozen=True)
class Check:
    """What was found of one scheme in one dtype on one device.

    Arguments:
        outcomes: of the self-test of each fast backend, by name.
        auto: the backend that `auto` takes.
        ratio: its time over that of plain causal attention by PyTorch, forward; the median of interleaved rounds.
    """

    device: str
    dtype: str
    scheme: str
    outcomes: dict[str, Outcome]
    auto: str
    ratio: float


def devices() -> list[torch.device]:
    """Return the devices of this machine that PyTorch reaches, the CPU last."""
    found = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    found += [torch.device("mps")] if torch.backends.mps.is_available() else []
    found += [torch.device("xpu", index) for index in range(torch.xpu.device_count())]
    return [*found, torch.device("cpu")]


def dtypes(device: torch.device) -> list[torch.dtype]:
    """Return the dtypes that are worth testing on a device."""
    return [torch.float32, torch.bfloat16] if device.type == "cpu" else [torch.float32, torch.bfloat16, torch.float16]


def checks(asked: list[torch.device], length: int, progress: Callable[[str], None]) -> Iterator[Check]:
    """Test and time every scheme on every device.

    Arguments:
        asked: the devices.
        length: tokens of the timed calls.
        progress: gets a line before each scheme.
    """
    planned = [(device, dtype, name) for device in asked for dtype in dtypes(device) for name in SCHEMES]
    start = time.monotonic()
    for number, (device, dtype, name) in enumerate(planned):
        kind = str(dtype).removeprefix("torch.")
        left = f", {(time.monotonic() - start) / number * (len(planned) - number):.0f} s left" if number else ""
        progress(f"{name} in {kind} on {device}: {number + 1} of {len(planned)}{left}")
        scheme = Scheme.of() if name == "rope" else scheme_of(name, length)
        yield check(device, dtype, name, scheme, length)


def check(device: torch.device, dtype: torch.dtype, name: str, scheme: Scheme, length: int) -> Check:
    """Test and time one scheme."""
    kind = Kind(device, dtype, HEAD_DIM, HEAD_DIM, small(scheme, HEAD_DIM))
    outcomes = {backend: self_test(kind, backend, run) for backend in FAST}
    x = _inputs(scheme, length, device, dtype)
    return Check(str(device), str(dtype).removeprefix("torch."), name, outcomes, choose(x).backend, _ratio(x))


def _inputs(scheme: Scheme, length: int, device: torch.device, dtype: torch.dtype) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, HEADS, length, HEAD_DIM, generator=generator).to(dtype).to(device)
    weights = {name: w.to(device) for name, w in scheme.initial_weights(HEADS, HEAD_DIM, generator).items()}
    where = contiguous(length, device)
    return Inputs(query, key, value, scheme, where, where, weights, HEAD_DIM**-0.5)


@torch.no_grad()
def _ratio(x: Inputs) -> float:
    calls = (
        lambda: scaled_dot_product_attention(x.query, x.key, x.value, is_causal=True),
        lambda: run(x),
    )
    ratios = []
    for number in range(ROUNDS + 1):
        plain, ours = (_seconds(call, x.query.device) for call in calls)
        if number:  # the first round warms up
            ratios.append(ours / plain)
    return median(ratios)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    _wait_for(device)
    start = time.perf_counter()
    call()
    _wait_for(device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
