"""`longspan export MODEL`: the flags with which other runtimes run an extension."""

import json
import shlex
from dataclasses import asdict
from typing import Annotated

import typer


def export(
    model: Annotated[str, typer.Argument(help="A folder, a .gguf file, a Hugging Face id, or bundled.")],
    method: Annotated[
        str | None, typer.Option(help="A scheme; left out, the one that the model was saved with.")
    ] = None,
    to: Annotated[int | None, typer.Option(help="Tokens to read.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of objects, one per runtime.")] = False,
) -> None:
    """Print the flags that vLLM and llama.cpp need, or the nearest method where they cannot express this one."""
    from longspan.errors import SchemeError
    from longspan.measure.loading import located
    from longspan.pretrained.storing.checkpoint import refusing
    from longspan.pretrained.storing.runtimes import runtime_flags
    from longspan.pretrained.storing.save import read_config

    config, saved = read_config(located(model))
    chosen = method or (saved or {}).get("scheme")
    if chosen is None:
        raise SchemeError(f"{model} was not saved with an extension: name one with --method")
    with refusing(f"the config of {model} cannot be used"):
        found = runtime_flags(config, chosen, (saved or {}).get("length") if to is None else to)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    for each in found:
        if each.flags:
            typer.echo(f"{each.runtime}: {shlex.join(each.flags)}")
        else:
            nearest = f"; nearest: --method {shlex.quote(each.nearest)}" if each.nearest else ""
            typer.echo(f"{each.runtime}: not expressible: {each.reason}{nearest}")
