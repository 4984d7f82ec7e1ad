"""`longspan methods [NAME]`: the methods of the library."""

import json
from typing import Annotated

import typer


def methods(
    name: Annotated[str | None, typer.Argument(help="One method; leave out to list all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of objects.")] = False,
) -> None:
    """List every method, or explain one: formula, source, slot, arguments and the setting that changes nothing."""
    from rich.console import Console
    from rich.table import Table

    from longspan.catalogue import methods as catalogue
    from longspan.errors import NotationError, nearest

    known = catalogue()
    if name is not None and name not in known:
        raise NotationError(f"unknown method {name!r}{nearest(name, known)}; 'longspan methods' lists all")
    chosen = [known[name]] if name else list(known.values())
    if as_json:
        keys = ("name", "slot", "summary", "formula", "source", "differs", "details")
        typer.echo(json.dumps([{key: getattr(method, key) for key in keys} for method in chosen], indent=2))
        return
    console = Console(markup=False, highlight=False)
    if name:
        method = chosen[0]
        differs = f"\n\nDiffers from the paper: {method.differs}" if method.differs else ""
        console.print(f"{method.name} ({method.slot}): {method.summary}\n\n{method.formula}\n")
        console.print(f"Source: {method.source}{differs}\n\n{method.details}")
        return
    table = Table("name", "slot", "meaning", box=None)
    for method in chosen:
        table.add_row(method.name, method.slot, method.summary)
    console.print(table)
