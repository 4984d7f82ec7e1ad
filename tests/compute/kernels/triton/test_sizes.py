"""Sizes of blocks: the GPU's maker decides, results do not depend on them, and all of them have been compiled."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from longspan.compute.attend import run
from longspan.compute.inputs import Inputs
from longspan.compute.kernels.triton import autograd, launch
from longspan.compute.kernels.triton.sizes import (
    FORWARD,
    KEY_GRADIENT,
    QUERY_GRADIENT,
    STEP,
    Config,
    Kind,
    Maker,
    Sizes,
    chosen,
)
from longspan.compute.places import places
from longspan.notation import parse

RESULTS = Path(__file__).parents[4] / "benchmarks" / "results" / "gpu-compiled.json"
TABLES = {"forward": FORWARD, "step": STEP, "query gradient": QUERY_GRADIENT, "key gradient": KEY_GRADIENT}
ALONE = {f"{what} gradient alone": KEY_GRADIENT for what in ("key", "value")}
TARGETS = {"sm_80", "sm_90", "sm_100", "sm_120", "gfx942"}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_sizes_are_powers_of_two(table: Sizes) -> None:
    for config in (config for kinds in table.values() for widths in kinds.values() for config in widths):
        assert min(config.rows, config.keys) >= 16
        assert all(size & (size - 1) == 0 for size in config[:3])


@pytest.mark.parametrize(("hip", "maker"), [(None, "nvidia"), ("6.4.1", "amd")])
def test_the_build_of_pytorch_says_whose_gpu_it_is(
    monkeypatch: pytest.MonkeyPatch, hip: str | None, maker: Maker
) -> None:
    monkeypatch.setattr(torch.version, "hip", hip)
    x = torch.empty(1, 1, 1, 1, 100, dtype=torch.bfloat16)
    work = launch.Work(x, x, 1.0)
    assert autograd.config(KEY_GRADIENT, work, x, x) == KEY_GRADIENT[maker]["plain"][1]
    assert KEY_GRADIENT["amd"]["plain"][1] != KEY_GRADIENT["nvidia"]["plain"][1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="Triton's interpreter is for machines without a GPU")
@pytest.mark.parametrize("text", ["rerope(window=70)", "xpos", "alibi + softcap(2.0)"])
def test_the_same_comes_out_whatever_the_sizes(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """To rounding: sums run over other blocks. 150 tokens fill several blocks of every size."""
    config = autograd.config
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, heads, 150, 16, generator=generator) for heads in (2, 1, 1))

    def results(kind: Kind, apart: bool) -> list[Tensor]:
        monkeypatch.setattr(autograd, "kind", lambda *_: kind)
        monkeypatch.setattr(autograd, "config", lambda *given: config(*given)._replace(apart=apart))
        leaves = [x.clone().requires_grad_() for x in (query, key, value)]
        queries, keys = places(150, 150)
        out = run(Inputs(leaves[0], leaves[1], leaves[2], parse(text), queries, keys, {}, base_scale=0.25), "triton")
        out.square().sum().backward()
        return [out.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]

    found: list[list[Tensor]] = []
    settings: list[tuple[str | None, Kind, bool]] = [
        (None, "plain", False), ("6.4.1", "plain", False), ("6.4.1", "changed", False), (None, "plain", True),
    ]  # fmt: skip
    for hip, kind, apart in settings:
        monkeypatch.setattr(torch.version, "hip", hip)
        found.append(results(kind, apart))
    assert len(found[0]) == 4
    for other in found[1:]:
        for some, first in zip(other, found[0], strict=True):
            torch.testing.assert_close(some, first, rtol=0, atol=2e-5 * float(first.abs().max()))


def kind_of(variant: str, dtype: str) -> Kind:
    """The kind of a row of the results."""
    if dtype == "fp32":
        return "float32"
    if variant in ("softcap", "bias"):
        return "changed"
    if variant == "all of these":
        return "both"
    if variant == "bias per token":
        return "linear"
    if variant == "decay":
        return "decaying"
    return "half" if dtype == "fp16" else "plain"


def test_all_sizes_are_compiled_and_spill_nothing() -> None:
    """A change of a size wants `python benchmarks/gpu_compiled.py`."""
    tables = TABLES | ALONE
    rows = [row for row in json.loads(RESULTS.read_text())["rows"] if row["kernel"] in tables]
    seen = set()
    for row in rows:
        maker: Maker = "amd" if row["target"].startswith("gfx") else "nvidia"
        kind, config = kind_of(row["variant"], row["dtype"]), Config(*row["config"])
        wanted = chosen(tables[row["kernel"]], maker, kind, row["channels"])
        short = row["kernel"] == "step" and config.rows == 16
        assert config == (wanted._replace(rows=16) if short else wanted)
        assert not row["spilled"], row
        seen.add((row["kernel"], row["target"], kind, row["channels"], config))
    for (name, table), target in ((item, target) for item in TABLES.items() for target in TARGETS):
        maker = "amd" if target.startswith("gfx") else "nvidia"
        for kind, widths in table[maker].items():
            if name == "step" and kind == "decaying":
                continue  # no step gives decay to the kernel: `compute/decoding/launched.py`
            for channels, config in zip((64, 128, 256), widths, strict=True):
                for kernel in ALONE if config.apart else (name,):
                    assert (kernel, target, kind, channels, config) in seen
