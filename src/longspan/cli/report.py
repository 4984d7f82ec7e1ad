"""`longspan report FOLDER …`: finished studies and surveys beside each other."""

import json
from pathlib import Path
from typing import Annotated

import typer

from longspan.cli.terminal import answer


def report(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Folders that extend or measure wrote; the first leads.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the page, the figures and the table.")] = Path(
        "longspan-report"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON, and write nothing.")] = False,
) -> None:
    """Compare finished studies and surveys: models, lengths, methods.

    Every method of every FOLDER is shown beside the others. Where the folders have read the same texts, differences to
    the first folder's method are paired by document; where they have not, the report says so. Nothing is measured.

    Example:

        longspan report longspan-MODEL-32768 longspan-OTHER-32768
    """
    from longspan.disk import write_atomically, writing
    from longspan.report.comparison.compare import compare
    from longspan.report.comparison.finished import read
    from longspan.report.comparison.page import files

    comparison = compare(read(folders))
    if as_json:
        print(json.dumps(comparison.json(), indent=2, allow_nan=False))
        return
    written = files(comparison)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        write_atomically(out / name, text)
    answer(written["comparison.txt"])
    answer(f"report: {(out / 'comparison.html').resolve()}")
