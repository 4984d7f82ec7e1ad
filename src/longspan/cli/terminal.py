"""Lines on the terminal; names that a user gave are printed literally, whatever they hold."""

import sys

from longspan.report.printable import printable


def say(text: str) -> None:
    """Print a line for people on stderr, beside the results."""
    print(printable(text), file=sys.stderr, flush=True)


def answer(text: str) -> None:
    """Print one or more lines of the result on stdout."""
    for line in text.split("\n"):
        print(printable(line))


def print_anything() -> None:
    """Escape what the terminal's encoding lacks: a minus sign must not end a study with an error."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
