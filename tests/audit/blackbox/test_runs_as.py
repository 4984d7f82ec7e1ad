"""A Python function in the place of a server."""

import math
from pathlib import Path

import pytest

from longspan.audit.blackbox.runs_as import function_named
from longspan.errors import InputError


def test_a_function_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "served_here.py").write_text("def run(ids): return [None, *[-1.0 for i in ids[1:]]]\nNUMBER = 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    server = function_named("served_here:run")
    assert server.answer([3, 4, 5]).values == (-1.0, -1.0)
    assert server.answer([3, 4, 5]).positions == (1, 2)
    assert server.prompts([3, 4]) == [[3, 4]]
    for name, said in {
        "served_here": "module:function",
        "served_here:other": "cannot be imported",
        "nowhere_at_all:run": "cannot be imported",
        "served_here:NUMBER": "is no function",
    }.items():
        with pytest.raises(InputError, match=said):
            function_named(name)


@pytest.mark.parametrize(("body", "said"), [("[-1.0]", "one log-probability per token"), ("[1.0, 1.0]", "at most 0")])
def test_what_is_no_log_probability_is_refused(
    body: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"served_{len(body)}"
    (tmp_path / f"{name}.py").write_text(f"def run(ids): return {body}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=said):
        function_named(f"{name}:run").answer([3, 4])


def test_none_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "served_none.py").write_text("def run(ids): return [None] * len(ids)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert math.isnan(function_named("served_none:run").answer([3, 4]).values[0])
