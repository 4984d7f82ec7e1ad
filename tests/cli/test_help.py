"""Every verb's `--help` says all that its docstring and its options say, and its examples are commands."""

import io
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from inspect import cleandoc
from typing import Any

import pytest
import typer

from longspan.cli.main import app
from longspan.measure.diagnostic import diagnostics
from longspan.measure.reduction import reductions
from longspan.task import tasks

GROUP: Any = typer.main.get_command(app)
VERBS: dict[str, Any] = {str(command.name): command.callback for command in app.registered_commands}


def printed(name: str, monkeypatch: pytest.MonkeyPatch, columns: int) -> str:
    """The page of a verb on a terminal of some width."""
    monkeypatch.setenv("COLUMNS", str(columns))
    out = io.StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit):
        GROUP.main([name, "--help"], prog_name="longspan")
    return out.getvalue()


def words(text: str) -> list[str]:
    """What a reader reads: no frames, no spaces."""
    return re.sub(r"[│╭╮╰╯─]", " ", text).split()


def blocks(docstring: str) -> Iterator[list[str]]:
    """The indented blocks of a docstring."""
    for block in re.findall(r"(?:^ {4}.*\n?|^\n(?= {4}))+", docstring, re.MULTILINE):
        yield block.strip("\n").splitlines()


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("columns", [60, 100, 200])
def test_nothing_that_a_verb_says_is_lost(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    page = printed(name, monkeypatch, columns)
    docstring = cleandoc(VERBS[name].__doc__ or "")
    assert "".join(words(docstring)) in "".join(words(page))


@pytest.mark.parametrize("name", VERBS)
def test_no_option_loses_what_stands_in_brackets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = "".join(words(printed(name, monkeypatch, 200)))
    for option in GROUP.commands[name].params:
        said = re.sub(r"\\\[", "[", getattr(option, "help", None) or "")
        assert "".join(said.split()) in page


def test_measure_names_all_that_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    paragraphs = [" ".join(text.split()) for text in printed("measure", monkeypatch, 80).split("\n" + " " * 80 + "\n")]
    for what, known in {"Tasks": tasks(), "Losses": reductions(), "Diagnostics": diagnostics()}.items():
        assert f"{what}: {', '.join(known)}." in paragraphs


@pytest.mark.parametrize("name", VERBS)
def test_indented_lines_stay_lines(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = [line.strip() for line in printed(name, monkeypatch, 200).splitlines()]
    for block in blocks(cleandoc(VERBS[name].__doc__ or "")):
        start = page.index(block[0].strip())
        assert page[start : start + len(block)] == [line.strip() for line in block]


def examples(verb: Callable[..., None]) -> list[str]:
    return re.findall(r"^ +longspan (.*)$", verb.__doc__ or "", re.MULTILINE)


@pytest.mark.parametrize("line", [line for verb in VERBS.values() for line in examples(verb)])
def test_examples_are_commands(line: str) -> None:
    name, *arguments = shlex.split(line)
    command = GROUP.commands[name]
    command.make_context(name, arguments, resilient_parsing=False)


@pytest.mark.parametrize("name", sorted(set(VERBS) - {"check", "doctor", "train"}))
def test_help_teaches_by_an_example(name: str) -> None:
    assert examples(VERBS[name]), f"the docstring of longspan {name} lacks an example"
