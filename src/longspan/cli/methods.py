"""`longspan methods [NAME]`: the methods of the library."""

import ast
import json
from dataclasses import asdict
from typing import Annotated

import typer

from longspan.cli.terminal import answer
from longspan.descriptions import Description, descriptions
from longspan.errors import NotationError, nearest


def methods(
    name: Annotated[
        str | None, typer.Argument(help="A method, or a scheme such as 'yarn + log_length'; leave out to list all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of objects.")] = False,
) -> None:
    """List every method, or explain one: formula, source, slot, arguments and the setting that changes nothing.

    Example:

        longspan methods "yarn + log_length"
    """
    known = descriptions()
    names = None if name is None else _names(name)
    for each in names or ():
        if all(each != method.name for method in known):
            near = nearest(each, [method.name for method in known])
            raise NotationError(f"unknown method {each!r}{near}; 'longspan methods' lists all")
    chosen = known if names is None else [method for each in names for method in known if method.name == each]
    if as_json:
        answer(json.dumps([asdict(method) for method in chosen], indent=2))
    elif names is not None:
        answer("\n\n".join(map(_explained, chosen)))
    else:
        _list(chosen)


def _names(text: str) -> list[str]:
    """Return the methods that a scheme names, each once, in its order; a text that is no scheme is one name."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return [text]
    terms, found = [tree], list[str]()
    while terms:
        term = terms.pop()
        if isinstance(term, ast.BinOp) and isinstance(term.op, ast.Add):
            terms += [term.right, term.left]
        elif isinstance(term, ast.Call) and isinstance(term.func, ast.Name):
            found.append(term.func.id)
        elif isinstance(term, ast.Name):
            found.append(term.id)
        else:
            return [text]
    return list(dict.fromkeys(found))


def _explained(method: Description) -> str:
    differs = f"\n\nDiffers from the paper: {method.differs}" if method.differs else ""
    return (
        f"{method.name} ({method.slot}): {method.summary}\n\n{method.formula}\n\n"
        f"Source: {method.source}{differs}\n\n{method.details}"
    )


def _list(chosen: tuple[Description, ...] | list[Description]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "slot", "meaning", box=None)
    for method in chosen:
        table.add_row(method.name, method.slot, method.summary)
    Console(markup=False, highlight=False).print(table)
