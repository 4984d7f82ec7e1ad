"""`longspan methods`, as a user types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from longspan.catalogue import everything
from longspan.descriptions import descriptions

SOURCE = Path(__file__).parents[2] / "src"


def longspan(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python("from longspan.cli import main; main()", *arguments)


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "COLUMNS": "120"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_lists_every_method_as_json() -> None:
    done = longspan("methods", "--json")
    assert done.returncode == 0
    listed = json.loads(done.stdout)
    assert [entry["name"] for entry in listed] == [method.name for method in everything()]
    assert all(entry[key] for entry in listed for key in ("name", "slot", "source", "summary"))


def test_explains_one_method() -> None:
    done = longspan("methods", "rerope")
    assert done.returncode == 0
    for part in ("rerope (distance)", "kexue.fm/archives/9708", "window", "Neutral"):
        assert part in done.stdout


def test_explains_all_of_one_name() -> None:
    """A learned scale and learned absolute embeddings."""
    done = longspan("methods", "learned")
    assert done.returncode == 0
    for part in ("learned (scale)", "arXiv:2010.04245", "learned (absolute)", "arXiv:1705.03122"):
        assert part in done.stdout


def test_explains_every_method_of_a_scheme() -> None:
    done = longspan("methods", "log_length + yarn(factor=4) + log_length")
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith(("yarn (", "log_length ("))] == [
        f"{method.name} ({method.slot}): {method.summary}"
        for name in ("log_length", "yarn")
        for method in everything()
        if method.name == name
    ]


def test_what_is_read_as_text_is_what_is_imported() -> None:
    read = [vars(found) for found in descriptions()]
    assert read == [{name: value for name, value in vars(found).items() if name != "make"} for found in everything()]


@pytest.mark.parametrize("arguments", [("methods", "reropee"), ("methods", "reropee", "--json")])
def test_unknown_method_is_one_clear_line(arguments: tuple[str, ...]) -> None:
    done = longspan(*arguments)
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        == "longspan: unknown method 'reropee'; did you mean 'rerope'?; 'longspan methods' lists all"
    )


@pytest.mark.parametrize("typed", ["--help", "methods", "methods yarn", "extend", "--version"])
def test_what_needs_no_torch_imports_none(typed: str) -> None:
    code = (
        f"import sys; sys.argv = {['longspan', *typed.split()]}\n"
        "from longspan.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "slow = ('torch', 'transformers', 'matplotlib', 'numpy', 'scipy')\n"
        "print([name for name in slow if name in sys.modules], file=sys.stderr)"
    )
    done = python(code)
    assert done.stderr.splitlines()[-1] == "[]"
