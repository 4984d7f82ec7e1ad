"""`longspan doctor`: what it finds on this machine, and on one whose kernel is wrong."""

import json
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from longspan.cli.main import app
from longspan.compute.attend import FAST
from longspan.compute.kernels import cpu
from longspan.memo import forget

SCHEMES = ("rope", "self_extend", "alibi")


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longspan.bench.doctor.SCHEMES", SCHEMES)
    # As for a user: in the other tests, Triton's interpreter takes the place of a GPU.
    monkeypatch.setattr("longspan.compute.kernels.triton.launch.interpreted", lambda: False)


ASKED = ["doctor", "--device", "cpu", "--length", "64"]


def test_every_scheme_is_tested_and_timed_in_every_dtype() -> None:
    """Tiles serve all of them on the CPU, which has no Triton kernel."""
    result = CliRunner().invoke(app, [*ASKED, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["versions"]["triton"] == version("triton")
    assert [check["scheme"] for check in found["checks"]] == [*SCHEMES, *SCHEMES]
    assert {check["dtype"] for check in found["checks"]} == {"float32", "bfloat16"}
    for check in found["checks"]:
        assert list(check["outcomes"]) == list(FAST)
        assert check["outcomes"]["triton"]["refused"]
        assert check["outcomes"]["tiles"]["error"] <= check["outcomes"]["tiles"]["budget"]
        assert check["auto"] == "tiles"
        assert check["ratio"] > 0


def test_a_wrong_kernel_is_named_and_ends_with_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cpu.forward

    def wrong(*args, **options):
        out, lse = right(*args, **options)
        return out * 1.1, lse

    monkeypatch.setattr(cpu, "forward", wrong)
    forget()
    result = CliRunner().invoke(app, ASKED)
    forget()
    assert result.exit_code == 1
    assert result.stdout.count("FAILS") == 2 * 2 * len(SCHEMES)  # in the table, and with the reason below it
    assert "tiles FAILS alibi in float32: outputs and " in result.stdout
    assert f"{2 * len(SCHEMES)} refused by triton, the first because triton refuses" in result.stdout
    assert "its kernels run on GPUs, the inputs are on cpu" in result.stdout
    assert f"{2 * len(SCHEMES)} self-tests failed" in result.stderr
