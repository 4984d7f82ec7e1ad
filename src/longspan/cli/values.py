"""Values as people type them on the command line."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from longspan.errors import shown

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps; auto takes a GPU that is there.")]
Texts = Annotated[list[Path] | None, typer.Option("--text", help="Your documents: files or folders; repeatable.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the results; a second call resumes.")]
Tolerance = Annotated[float, typer.Option("--tolerance", help="Nats per token a method may cost on short texts.")]
Ray = Annotated[
    int | None,
    typer.Option("--ray", help="Measure on this many Ray workers, of RAY_ADDRESS or started here: longspan\\[ray]."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
UNITS = {"": 1, "k": 2**10, "m": 2**20}
"""What a letter behind a number of tokens stands for; models are named so: a 32k context has 32768 tokens."""
LONGEST = 2**40
"""Tokens: more than any text has."""


def tokens_option(*names: str, explained: str) -> Any:
    """Return the option for a number of tokens.

    Arguments:
        names: as in "--to"; empty for the name of the parameter.
        explained: its help.
    """
    return typer.Option(*names, parser=token_count, metavar="TOKENS", help=explained)


def token_count(text: str | int) -> int:
    """Read a number of tokens: 32768, 32k or 1M.

    >>> token_count("32k"), token_count("1M"), token_count("1.5k"), token_count("4096")
    (32768, 1048576, 1536, 4096)

    Errors: BadParameter for anything else, and for less than 1.
    """
    found = re.fullmatch(r"(-?[0-9]*\.?[0-9]+)([kKmM]?)", str(text).strip())
    count = Decimal(found[1]) * UNITS[found[2].lower()] if found else Decimal(0)
    if not found or count != int(count):
        raise typer.BadParameter(f"{shown(text)} is no number of tokens: write 32768, 32k (k = 1024) or 1M")
    if not 1 <= count <= LONGEST:
        raise typer.BadParameter(f"{shown(text)} is out of range: the number of tokens must be 1 … 2^40")
    return int(count)


TrainedLength = Annotated[
    int | None, tokens_option("--trained-length", explained="Tokens the model was trained on, if its config is wrong.")
]
