"""`longspan export MODEL`: the flags with which other runtimes run an extension."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longspan.cli.terminal import answer, quiet_libraries, say
from longspan.cli.values import tokens_option

if TYPE_CHECKING:
    from longspan.study.summary import Summary


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder, a .gguf file, a Hugging Face id, 'bundled', or the results of 'longspan extend'."
        ),
    ],
    method: Annotated[
        str | None, typer.Option(help="A scheme; left out, the one that was saved with the model, or measured best.")
    ] = None,
    to: Annotated[int | None, tokens_option(explained="Tokens to read, as in 32768 or 32k.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of objects, one per runtime.")] = False,
) -> None:
    """Print the flags that vLLM, llama.cpp and SGLang need, or the nearest method where they cannot express this one.

    Given the results of 'longspan extend', it takes the best measured method that these runtimes can express.

    Examples:

        longspan export MODEL --method yarn --to 32k
        longspan export longspan-MODEL-32768
    """
    quiet_libraries()
    from longspan.errors import SchemeError
    from longspan.measure.models.loading import located
    from longspan.pretrained.storing.checkpoint import refusing
    from longspan.pretrained.storing.runtimes import runtime_flags
    from longspan.pretrained.storing.save import read_config

    if (study := _study(model)) is not None:
        model, to = study.setting.model, study.setting.length if to is None else to
        if method is None:
            method = _measured_best(study)
    config, saved = read_config(located(model))
    chosen = method or (saved or {}).get("scheme")
    if chosen is None:
        raise SchemeError(f"{model} was not saved with an extension: name one with --method, as in --method yarn")
    with refusing(f"the config of {model} cannot be used"):
        found = runtime_flags(config, chosen, (saved or {}).get("length") if to is None else to)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    for each in found:
        if each.flags:
            answer(f"{each.runtime}: {shlex.join(each.flags)}")
        else:
            nearest = f"; nearest: --method {shlex.quote(each.nearest)}" if each.nearest else ""
            answer(f"{each.runtime}: not expressible: {each.reason}{nearest}")
    for each in found:
        if each.note:
            typer.echo(f"note: {each.note}", err=True)


def _study(model: str) -> "Summary | None":
    """Return the summary of a study's folder; None for anything else."""
    path = Path(model) / "summary.json"
    if not path.is_file():
        return None
    from longspan.errors import InputError
    from longspan.study.summary import Summary

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Summary.of(found if isinstance(found, dict) else {})
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{path} is no summary of 'longspan extend' ({type(error).__name__}: {error}): give a model, or the folder "
            "that --out named"
        ) from None


def _measured_best(study: "Summary") -> str:
    """Choose what these runtimes run from what was measured, and say what was chosen.

    Errors: InputError where the study found nothing to use.
    """
    exportable, winner = study.verdict.exportable, study.winner
    if exportable is not None:
        beside = "" if exportable == winner else f"; the winner, {winner}, needs longspan" if winner else ""
        say(f"{exportable}: the best measured method that these runtimes can express{beside}")
        return exportable
    if winner is None:
        from longspan.errors import InputError

        raise InputError(
            "this study recommends no method: leave the model as it is, or name one with --method, as in --method yarn"
        )
    say(f"{winner}: the method that was measured best")
    return winner
