"""`longspan doctor`: what this machine computes attention with, tested here."""

import json
from typing import Annotated, Any

import typer

from longspan.cli.terminal import Ticker, answer, say
from longspan.cli.values import tokens_option

LONGEST = 131_072
MISSING = "not installed (pip install 'longspan[gpu]')"
"""What stands in place of a version of Triton."""


def doctor(
    device: Annotated[
        list[str] | None, typer.Option(help="As in cpu, cuda:1 or mps; repeatable; all devices when left out.")
    ] = None,
    length: Annotated[int, tokens_option(explained="Of the timed calls, as in 2048 or 2k.")] = 2048,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: what a report of a problem needs.")] = False,
) -> None:
    """Test every fast attention backend on every device of this machine, and say what is taken and how fast it is.

    A backend passes where outputs and gradients of a small call agree with those of blocks in float64. Where none
    passes, blocks are used. Exit code 1 where a self-test failed.
    """
    from dataclasses import asdict

    import torch

    from longspan.bench.doctor import checks, devices
    from longspan.errors import InputError
    from longspan.measure.hardware.device import device_named
    from longspan.measure.hardware.machine import hardware, versions

    if not 16 <= length <= LONGEST:
        raise InputError(f"--length must be 16 … {LONGEST}, got {length}")
    asked = [device_named(name) for name in device] if device else devices()
    facts = {
        "versions": {"triton": MISSING} | versions("triton"),
        "devices": {str(each): hardware(each) for each in asked},
        "length": length,
    }
    ticker = Ticker()
    found = list(checks(asked, length, ticker))
    ticker.clear()
    failed = [x for check in found for x in check.outcomes.values() if not x.passed and not x.refused]
    if as_json:
        answer(json.dumps({**facts, "checks": [asdict(check) for check in found]}, indent=2))
    else:
        _table(facts, found)
        cuda = any(each.type == "cuda" for each in asked)
        answer("" if cuda else f"\nNo CUDA GPU was tested (torch {torch.__version__}).")
    if failed:
        say(f"longspan: {len(failed)} self-tests failed, see above; please report them with `longspan doctor --json`")
        raise typer.Exit(1)


def _table(facts: dict[str, Any], found: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    answer(", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    console = Console(markup=False, highlight=False)
    for device, name in facts["devices"].items():
        answer(f"\n{device}: {name}")
        here = [check for check in found if check.device == device]
        table = Table("scheme", "dtype", *here[0].outcomes, "auto", f"time at {facts['length']} / plain", box=None)
        for check in here:
            words = [_words(outcome) for outcome in check.outcomes.values()]
            table.add_row(check.scheme, check.dtype, *words, check.auto, f"{check.ratio:.2f}")
        console.print(table)
        for line in _reasons(here):
            answer(line)


def _reasons(found: list[Any]) -> list[str]:
    """Why self-tests failed, one by one, and why each backend refused the first scheme that it refused."""
    lines = []
    for name in found[0].outcomes:
        refused = [check.outcomes[name].why for check in found if check.outcomes[name].refused]
        lines += [f"{len(refused)} refused by {name}, the first because {refused[0]}"] if refused else []
        lines += [
            f"{name} FAILS {check.scheme} in {check.dtype}: {check.outcomes[name].why}"
            for check in found
            if not check.outcomes[name].passed and not check.outcomes[name].refused
        ]
    return lines


def _words(outcome: Any) -> str:
    if outcome.passed:
        return "passes"
    return "refuses" if outcome.refused else "FAILS"
