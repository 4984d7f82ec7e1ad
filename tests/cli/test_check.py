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
    assert "holds   naive_recurrent_linear_attn: reads on after 37 tokens" in out
    assert "BROKEN  naive_retention: is the recurrence at 3072 tokens" in out
    assert code == 1


def test_all_laws_that_hold_are_exit_code_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longspan.check.fla.outcomes", lambda: iter([Outcome("op", "is the recurrence", 1e-7)]))
    assert run("fla")[0] == 0


def test_a_broken_law_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Outcome("op", "is the recurrence", 1e-7), Outcome("op", "reads on after 1 tokens", 0.5)]
    monkeypatch.setattr("longspan.check.fla.outcomes", lambda: iter(found))
    code, out = run("fla", "--json")
    assert code == 1
    assert [each["holds"] for each in json.loads(out)] == [True, False]
