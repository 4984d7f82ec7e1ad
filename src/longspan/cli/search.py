"""`longspan search [MODEL] --to N`: a scheme with few free numbers, found on some documents and judged on others."""

import json
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from longspan.cli.terminal import answer, quiet_libraries, resumable
from longspan.cli.values import Device, Json, Out, Texts, Tolerance, TrainedLength, tokens_option
from longspan.errors import InputError

if TYPE_CHECKING:
    from longspan.search.summary import Summary


def search(
    model: Annotated[str, typer.Argument(help="A Hugging Face id, a folder, a .gguf file, or 'bundled'.")] = "bundled",
    to: Annotated[int | None, tokens_option("--to", explained="N: tokens to read, as in 32k.")] = None,
    over: Annotated[
        Literal["frequencies", "layers"],
        typer.Option("--over", help="What to search: a factor per frequency, or one scheme per layer."),
    ] = "frequencies",
    scheme: Annotated[
        list[str] | None, typer.Option("--scheme", help="With --over layers: what a layer may have; repeatable.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="A scheme to beat, or 'candidates' for all that extend tries; repeatable."),
    ] = None,
    text: Texts = None,
    out: Out = None,
    docs: Annotated[int, typer.Option("--docs", help="Unseen documents to judge on; below 8, no verdict.")] = 8,
    search_docs: Annotated[int, typer.Option("--search-docs", help="Documents to search on.")] = 6,
    tolerance: Tolerance = 0.02,
    budget: Annotated[float, typer.Option("--budget", help="Minutes of measuring; a larger one later goes on.")] = 30,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    trained_length: TrainedLength = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Of the candidates; each seed is a search of its own.")] = 0,
    as_json: Json = False,
) -> None:
    """Search for the scheme with which MODEL reads N tokens best, and judge it on documents it was not found on.

    Over frequencies, the result is a factor for each, which stock runtimes read as longrope. Over layers, it is a plan:
    which layer sees a window, which one maps distances. The verdict compares it with the best known method.

    Examples:

        longspan search MODEL --to 32k --text docs/
        longspan search MODEL --to 32k --over layers
    """
    if to is None:
        raise InputError("give the number of tokens to read, as in --to 32k")
    quiet_libraries()
    with resumable():
        from longspan.cli.progress import Stderr
        from longspan.search.request import Request
        from longspan.search.run import run_search

        request = Request(
            model=model,
            length=to,
            command=shlex.join(["longspan", *sys.argv[1:]]),
            over=over,
            schemes=tuple(scheme or ()),
            against=tuple(against or ()),
            texts=tuple(text or ()),
            out=out,
            docs=docs,
            search_docs=search_docs,
            tolerance=tolerance,
            budget=budget,
            dtype=dtype,
            trained_length=trained_length,
            device=device,
            seed=seed,
        )
        summary = run_search(request, Stderr())
    if as_json:
        print(json.dumps(summary.json(), indent=2, allow_nan=False))
        return
    _show(summary)


def _show(summary: "Summary") -> None:
    """Print a table of the search's documents, and the verdict."""
    from rich.console import Console
    from rich.table import Table

    from longspan.report.printable import printable

    table = Table("on the documents of the search", "cost", "loss", "facts", "short texts", box=None)
    for name, rating in [*((rating.method, rating) for rating in summary.known), ("found", summary.found)]:
        if rating.loss is None or rating.facts is None or rating.price is None:
            table.add_row(printable(name), printable(f"failed: {rating.failed}"), "", "", "")
        else:
            numbers = f"{rating.cost:.3f}", f"{rating.loss:.3f}", f"{rating.facts:.0%}", f"{rating.price:+.3f}"
            table.add_row(printable(name), *numbers)
    Console(highlight=False, markup=False).print(table)
    answer(f"\nfound, after {summary.trajectory.candidates} candidates: {summary.found.method}")
    answer(f"\n{summary.sentence}")
    what = "the found scheme" if summary.recommended == summary.found.method else summary.recommended
    answer(f"\nmodel with {what}: {summary.model}")
    answer(f"flags of other runtimes: longspan export {shlex.quote(summary.model or '')}")
