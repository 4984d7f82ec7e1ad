"""Whatever is typed after a verb: a result, or one clear line and an exit code, never a traceback."""

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from inspect import signature
from pathlib import Path
from runpy import run_path
from typing import Any, get_args, get_type_hints
from unittest.mock import patch

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

import longspan
from longspan import bundled
from longspan.catalogue import methods
from longspan.cli import bench, export, extend, main
from longspan.cli.terminal import answer, print_anything
from longspan.cli.values import token_count
from longspan.pretrained.storing.runtimes import FLAGS


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", ["longspan", *arguments]):
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def refused_in_one_line(*arguments: str) -> str:
    code, out, err = run(*arguments)
    lines = [line for line in err.splitlines() if line.startswith("longspan: ")]
    assert (code, out, len(lines)) == (2, "", 1), (arguments, err)
    assert err.splitlines()[-1] == lines[0]
    assert "Traceback" not in err
    return lines[0]


def numeric(verb: Callable[..., None]) -> list[str]:
    """Every option of a verb that takes a number."""
    hints = get_type_hints(verb)
    return [f"--{name.replace('_', '-')}" for name in signature(verb).parameters if kinds(hints[name]) & {int, float}]


def kinds(hint: Any) -> set[Any]:
    """A type and all that it is made of."""
    return {hint}.union(*map(kinds, get_args(hint)))


ABSURD = st.one_of(
    st.integers(-(10**20), 0),
    st.integers(10**12, 10**20),
    st.sampled_from([10**18, 10**400, -(10**400), "1e18", "1e999", "-1e999", "nan", "inf", "0.5", "-0.0", "1e-320"]),
    st.sampled_from(["", " ", "ten", "0x10", "1_0", "٣", "--to", "\x1b[31m5", "[red]5", "1\n2", "9" * 5000]),
).map(str)  # fmt: skip
ANY = ABSURD | st.integers(1, 100_000).map(str)


def flags(verb: Callable[..., None], numbers: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """Some of a verb's numeric options, each with a number."""
    chosen = st.dictionaries(st.sampled_from(numeric(verb)), numbers, min_size=1)
    return chosen.map(lambda given: [f"{name}={number}" for name, number in given.items()])


def test_every_number_is_drawn() -> None:
    assert numeric(extend.extend) == ["--to", "--docs", "--tolerance", "--budget", "--trained-length", "--ray"]
    assert numeric(bench.bench) == ["--length", "--rounds"]
    assert numeric(export.export) == ["--to"]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without texts, with which every study ends before it measures."""
    return tmp_path_factory.mktemp("empty")


@given(st.data())
@settings(max_examples=30)
def test_numbers_of_extend(model: Path, empty: Path, data: st.DataObject) -> None:
    given = data.draw(flags(extend.extend, ANY))
    refused_in_one_line("extend", str(model), "--text", str(empty), "--dtype", "float32", *given)
    assert not list(empty.iterdir())


@given(flags(bench.bench, ABSURD))
def test_numbers_of_bench(given: list[str]) -> None:
    refused_in_one_line("bench", "--quick", "--scheme", "window", "--dtype", "float32", *given)


def test_the_shortest_length_of_bench_serves_every_row() -> None:
    code, out, _ = run("bench", "--quick", "--rounds", "2", "--dtype", "float32", "--length", "8", "--json")
    assert code == 0
    assert '"length": 8' in out


def test_bench_looks_where_to_write_before_it_measures(tmp_path: Path) -> None:
    assert "no folder" in refused_in_one_line("bench", "--out", str(tmp_path / "nowhere" / "a.json"))


NUMBERS = st.sampled_from(f"1e999 -1e999 1e308 1e-308 5e-324 -1 0 1 1.5 64 1e18 {10**30}".split())


@st.composite
def schemes(draw: st.DrawFn) -> str:
    """Any method with some of its arguments set to any number."""
    method = draw(st.sampled_from([method for method in methods().values() if not method.makes_plan]))
    names = list(signature(method.make).parameters)
    given = draw(st.dictionaries(st.sampled_from(names), NUMBERS, max_size=3)) if names else {}
    return f"{method.name}({', '.join(f'{name}={number}' for name, number in given.items())})"


@given(schemes(), st.just("") | ANY)
def test_numbers_of_export(scheme: str, to: str) -> None:
    arguments = ("export", str(bundled.model_path()), "--method", scheme, *([f"--to={to}"] if to else []))
    code, out, err = run(*arguments)
    if code:
        refused_in_one_line(*arguments)
    else:
        assert all(line.startswith("note: ") for line in err.splitlines())
        assert len(out.splitlines()) == len(FLAGS)
        assert "Infinity" not in out
        assert "NaN" not in out


@pytest.mark.parametrize("scheme", ["linear(factor=1e999)", "linear(factor=1e308)", "yarn(factor=(1e999 - 1e999))"])
def test_an_export_without_end_is_refused(scheme: str) -> None:
    assert "factor" in refused_in_one_line("export", str(bundled.model_path()), "--method", scheme)


@pytest.mark.parametrize("to", [-5, 0, 10**18])
def test_an_export_to_no_length_is_refused(to: int) -> None:
    line = refused_in_one_line("export", str(bundled.model_path()), "--method", "linear", f"--to={to}")
    assert f"{str(to)!r} is out of range: the number of tokens must be 1 … 2^40" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["extnd"], "No such command 'extnd'. Did you mean 'extend'?"),
        (["\x1b[31m[bold]x"], r"No such command '\x1b[31m[bold]x'"),
        (["extend", "--two", "4096"], "--two"),
        (["extend", "--to", "many"], "Invalid value for '--to'"),
        (["extend", "a", "b"], "unexpected extra argument"),
    ],
)
def test_a_slip_of_the_keyboard_is_one_line(arguments: list[str], words: str) -> None:
    assert words in refused_in_one_line(*arguments)


@pytest.mark.parametrize(
    ("typed", "count"),
    [("32k", 32768), ("32K", 32768), ("1M", 2**20), ("1.5k", 1536), ("4096", 4096), ("1", 1), ("0.25k", 256)],
)
def test_tokens_are_typed_as_people_name_them(typed: str, count: int) -> None:
    assert token_count(typed) == count


@given(st.integers(1, 2**30))
def test_a_number_and_its_thousands_are_the_same(count: int) -> None:
    assert token_count(str(count)) == count
    assert token_count(f"{count}k") == token_count(str(1024 * count))


@given(st.text(max_size=8) | ABSURD)
def test_any_text_is_a_number_of_tokens_or_one_line(text: str) -> None:
    try:
        assert 1 <= token_count(text) <= 2**40
    except typer.BadParameter as error:
        lines = str(error).splitlines()
    else:
        lines = ["fine"]
    assert len(lines) == 1


@pytest.mark.parametrize("verb", ["extend", "measure", "audit", "export", "bench"])
def test_no_verb_takes_a_length_below_one(verb: str) -> None:
    option = "--length" if verb in ("measure", "bench") else "--to"
    given = ["bundled"] if verb != "bench" else []
    for wrong in ("-5", "0", "3x"):
        assert f"Invalid value for '{option}'" in refused_in_one_line(verb, *given, f"{option}={wrong}")


def test_the_version_is_the_packages() -> None:
    assert run("--version") == (0, f"longspan {longspan.__version__}\n", "")


@pytest.mark.parametrize("verb", [[], ["extend"], ["methods"]])
def test_help_has_a_short_name(verb: list[str]) -> None:
    assert run(*verb, "-h") == run(*verb, "--help")
    assert run(*verb, "-h")[0] == 0


def test_the_public_names_are_listed() -> None:
    assert set(longspan.__all__) | {"__version__"} == set(dir(longspan))


def test_without_a_verb_the_help_is_shown() -> None:
    code, out, err = run()
    assert code == 2
    assert "Usage: longspan" in out
    assert err == ""


def test_the_package_is_a_program() -> None:
    """Its file runs as `python -m longspan` runs it."""
    out, argv = io.StringIO(), ["longspan", "methods", "yarn"]
    with redirect_stdout(out), patch.object(sys, "argv", argv), pytest.raises(SystemExit) as stop:
        run_path(str(Path(longspan.__file__).with_name("__main__.py")), run_name="__main__")
    assert stop.value.code == 0
    assert out.getvalue().startswith("yarn (rotation): ")


def test_a_terminal_without_our_signs_gets_escapes() -> None:
    """A minus sign that the terminal's encoding lacks is no reason to fail."""
    written = io.BytesIO()
    screen = io.TextIOWrapper(written, encoding="ascii")
    with patch.object(sys, "stdout", screen):
        print_anything()
        answer("−0.10 [−0.12, −0.08]")
        screen.flush()
    assert written.getvalue() == b"\\u22120.10 [\\u22120.12, \\u22120.08]\n"
