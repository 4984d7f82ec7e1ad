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

    from longspan.catalogue import everything
    from longspan.errors import NotationError, nearest

    chosen = [method for method in everything() if name in (None, method.name)]
    if name is not None and not chosen:
        near = nearest(name, [method.name for method in everything()])
        raise NotationError(f"unknown method {name!r}{near}; 'longspan methods' lists all")
    if as_json:
        keys = ("name", "slot", "summary", "formula", "source", "differs", "details")
        typer.echo(json.dumps([{key: getattr(method, key) for key in keys} for method in chosen], indent=2))
        return
    console = Console(markup=False, highlight=False)
    if name:
        for method in chosen:
            differs = f"\n\nDiffers from the paper: {method.differs}" if method.differs else ""
            console.print(f"{method.name} ({method.slot}): {method.summary}\n\n{method.formula}\n")
            console.print(f"Source: {method.source}{differs}\n\n{method.details}")
        return
    table = Table("name", "slot", "meaning", box=None)
    for method in chosen:
        table.add_row(method.name, method.slot, method.summary)
    console.print(table)
