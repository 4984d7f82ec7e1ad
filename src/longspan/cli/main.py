"""`longspan`: dispatch to the verbs."""

from typing import Annotated

import typer

from longspan.cli import audit, bench, check, doctor, export, extend, measure, methods, report, search, train
from longspan.cli.help import Verb
from longspan.cli.terminal import print_anything, say

app = typer.Typer(
    help="Make Transformers read far beyond the length they were trained on, and measure honestly how well it works.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    audit.audit,
    bench.bench,
    check.check,
    doctor.doctor,
    export.export,
    extend.extend,
    measure.measure,
    methods.methods,
    report.report,
    search.search,
    train.train,
):
    app.command(verb.__name__, cls=Verb, epilog=measure.NAMES if verb is measure.measure else None)(verb)


def _version(wanted: bool) -> bool:
    if wanted:
        from longspan import __version__

        typer.echo(f"longspan {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _verbs(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Make Transformers read far beyond the length they were trained on, and measure honestly how well it works."""


def main() -> None:
    """Run the command line; a known error is one clear line and exit code 2."""
    from longspan.errors import LongspanError

    print_anything()
    try:
        code = app(prog_name="longspan", standalone_mode=False)
    except LongspanError as error:
        say(f"longspan: {error}")
        code = 2
    except typer.TyperException as error:
        if message := error.format_message():  # empty where the help was printed instead
            say(f"longspan: {message.rstrip('.')}; --help lists verbs and options")
        code = error.exit_code
    raise SystemExit(code or 0)
