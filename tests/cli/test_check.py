"""`longspan check fla` answers law by law, and its exit code says whether all hold."""

import json

import pytest
from typer.testing import CliRunner

from longspan.check.fla import Outcome
from longspan.cli.main import app


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["check", *arguments])
    return done.exit_code, done.output


def test_answers_law_by_law() -> None:
    code, out = run("fla")
    assert code == 0
    assert "holds   naive_recurrent_linear_attn: reads on after 37 tokens" in out


def test_a_broken_law_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Outcome("op", "is the recurrence", 1e-7), Outcome("op", "reads on after 1 tokens", 0.5)]
    monkeypatch.setattr("longspan.check.fla.outcomes", lambda: iter(found))
    code, out = run("fla", "--json")
    assert code == 1
    assert [each["holds"] for each in json.loads(out)] == [True, False]
