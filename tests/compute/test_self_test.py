"""The self-test of a backend: it passes what is right, stops what is wrong, and remembers which was which."""

import json
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from contract.drawing import PARTS, default
from imitated_device import DEVICE, ImitatedDevice, there
from longspan import attend, parse
from longspan.compute import passed as passed_module
from longspan.compute.attend import choose, plan, run
from longspan.compute.inputs import Call, GivenPositions, Inputs
from longspan.compute.kernels import cpu
from longspan.compute.passed import fingerprint
from longspan.compute.self_test import TOKENS, Kind, self_test, small, trusted
from longspan.distance.rerope import ReRoPE
from longspan.errors import RefusalError
from longspan.mask.window import Window
from longspan.memo import forget
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget()
    yield
    forget()


def call(text: str, dtype: torch.dtype = torch.float32, count: int = 30) -> Inputs:
    query, key, value = (torch.randn(1, heads, count, 16, dtype=dtype) for heads in (4, 2, 2))
    return Call(query, key, value, text, GivenPositions(), {}, None, "auto").inputs()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", PARTS)
def test_tiles_pass_on_the_cpu(name: str, dtype: torch.dtype) -> None:
    kind = Kind(torch.device("cpu"), dtype, 16, 16, small(Scheme.of(default(name)), 16))
    outcome = self_test(kind, "tiles", run)
    if isinstance(plan(kind.inputs()), tuple):
        assert outcome.error is None
        assert outcome.why.startswith("tiles refuses")
    else:
        assert outcome.passed, outcome
        assert outcome.error is not None
        print("RATIO", name, dtype, outcome.error / outcome.budget)


def no_kernel(*args: object, **options: object) -> None:
    raise RuntimeError("no kernel image is available")


@pytest.mark.skipif(torch.cuda.is_available(), reason="Triton's interpreter is for machines without a GPU")
def test_the_triton_kernel_passes_in_its_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longspan.compute.self_test.TOKENS", 40)
    outcome = self_test(Kind.of(call("rerope(1000) + window(3000, sinks=2)")), "triton", run)
    assert outcome.passed, outcome
    assert outcome.error is not None


@pytest.mark.parametrize("what", ["forward", "backward"])
def test_a_wrong_kernel_fails(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(cpu, what)

    def wrong(*args, **options) -> tuple[Tensor, ...]:
        first, *rest = right(*args, **options)
        return first * 1.01, *rest

    monkeypatch.setattr(cpu, what, wrong)
    outcome = self_test(Kind.of(call("rerope(1000)")), "tiles", run)
    assert outcome.why.startswith("outputs and gradients differ" if what == "forward" else "gradients differ")


@pytest.mark.parametrize(
    "error", [RuntimeError("no kernel image"), ValueError("bad"), RefusalError("no"), Exception(), AssertionError()]
)
def test_a_kernel_that_raises_fails_with_its_message(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args, **options) -> None:
        raise error

    monkeypatch.setattr(cpu, "forward", broken)
    outcome = self_test(Kind.of(call("rope")), "tiles", run)
    assert str(error) in outcome.why


def test_a_nan_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cpu.backward
    monkeypatch.setattr(cpu, "backward", lambda *x, **more: tuple(t * torch.nan for t in right(*x, **more)))
    assert not self_test(Kind.of(call("rope")), "tiles", run).passed


def test_a_pass_is_on_disk_and_a_failure_warns_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = Kind.of(call("rerope(1000)")), Kind.of(call("alibi"))
    assert trusted(good, "tiles", run)
    [line] = json.loads((tmp_path / "longspan" / passed_module.FILE).read_text())
    assert "tiles | rope(theta=10000.0) + rerope(window=8)" in line
    assert f"torch {torch.__version__}" in line
    monkeypatch.setattr(cpu, "forward", no_kernel)  # every test would fail now
    forget()
    assert trusted(good, "tiles", run)
    with pytest.warns(RuntimeWarning, match="backend 'tiles' is not used for alibi"):
        assert not trusted(bad, "tiles", run)
    with warnings.catch_warnings(action="error"):
        assert not trusted(bad, "tiles", run)


def test_other_code_is_tested_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass holds until any file of `compute/` is edited, added, renamed or removed."""
    sources = tmp_path / "compute"
    shutil.copytree(passed_module.SOURCES, sources, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(passed_module, "SOURCES", sources)
    kernel, known = sources / "kernels" / "triton" / "forward.py", [fingerprint(passed_module.SOURCES)]
    kind = Kind.of(call("rope"))
    assert trusted(kind, "tiles", run)
    for change in (
        lambda: kernel.write_text(kernel.read_text().replace("grown = tl.maximum(", "grown = tl.minimum(", 1)),
        lambda: kernel.rename(kernel.with_name("other.py")),
        lambda: (sources / "new.py").write_text(""),
        lambda: (sources / "attend.py").unlink(),
    ):
        change()
        forget()
        known.append(fingerprint(passed_module.SOURCES))
        with monkeypatch.context() as patch:
            patch.setattr(cpu, "forward", no_kernel)
            with pytest.warns(RuntimeWarning, match="is not used"):
                assert not trusted(kind, "tiles", run)
    assert len(set(known)) == 5


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"a": 1}'])
def test_a_file_that_makes_no_sense_is_a_file_without_lines(text: str, tmp_path: Path) -> None:
    path = tmp_path / "longspan" / passed_module.FILE
    path.parent.mkdir()
    path.write_text(text)
    assert trusted(Kind.of(call("rope")), "tiles", run)
    assert len(json.loads(path.read_text())) == 1


def test_a_folder_that_cannot_be_written_is_let_be(tmp_path: Path) -> None:
    (tmp_path / "longspan").write_text("a file in the place of the folder")
    assert trusted(Kind.of(call("rope")), "tiles", run)


def test_a_kind_keeps_what_makes_it_and_forgets_lengths() -> None:
    text = "rope(theta=5e5, layout='interleaved', partial=0.5) + rerope(window=4096) + window(65536, sinks=4)"
    scheme = Kind.of(call(text)).scheme
    assert scheme == Kind.of(call(text.replace("4096", "2048").replace("65536", "32768"))).scheme
    assert scheme.rotation == RoPE(theta=5e5, layout="interleaved", partial=0.5)
    assert isinstance(scheme.distance, ReRoPE)
    assert isinstance(scheme.mask, Window)
    assert scheme.mask.sinks == 4
    assert max(scheme.distance.window or 0, scheme.mask.size or 0) < TOKENS


def test_auto_takes_a_backend_on_a_device_after_its_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel of the CPU, put on another device, is tested there: right it is taken, wrong it is not."""
    monkeypatch.setattr("longspan.compute.attend.KERNELS", {DEVICE.type: cpu})
    x = call("rerope(8)")
    wanted = run(x, "reference")
    with ImitatedDevice():
        moved = [there(t) for t in (x.query, x.key, x.value)]
        inputs = Call(moved[0], moved[1], moved[2], "rerope(8)", GivenPositions(), {}, None, "auto").inputs()
        assert choose(inputs).backend == "tiles"
        torch.testing.assert_close(attend(moved[0], moved[1], moved[2], "rerope(8)").cpu(), wanted)
        monkeypatch.setattr(cpu, "backward", no_kernel)
        inputs = replace(inputs, scheme=parse("self_extend(8, 4)"))
        with pytest.warns(RuntimeWarning, match="blocks are used"):
            assert choose(inputs).backend == "blocks"
        assert "fails its self-test on lazy:0" in choose(inputs).why
