"""Lines on the terminal; names that a user gave are printed literally, whatever they hold."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic

import typer

from longspan.report.printable import printable

PERIOD = 30.0
"""Seconds between two lines of progress where there is no terminal."""


def say(text: str) -> None:
    """Print a line for people on stderr, beside the results."""
    print(printable(text), file=sys.stderr, flush=True)


def answer(text: str) -> None:
    """Print one or more lines of the result on stdout."""
    for line in text.split("\n"):
        print(printable(line))


def quiet_libraries() -> None:
    """Silence the progress bars and warnings of other libraries; call it before they are imported."""
    for bars in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
        os.environ.setdefault(bars, "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


@contextmanager
def resumable() -> Iterator[None]:
    """End on Ctrl-C with exit code 130 and one line: what was measured is kept."""
    try:
        yield
    except KeyboardInterrupt:
        say("longspan: interrupted; what was measured is kept, and the same command resumes it")
        raise typer.Exit(130) from None


def print_anything() -> None:
    """Escape what the terminal's encoding lacks, so that a minus sign cannot end a study with an error."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def is_live() -> bool:
    """Whether stderr is a terminal on which a line can be replaced."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


class Ticker:
    """The latest of many short messages: one line that is replaced on a terminal, elsewhere one per half minute."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock, self._shown = clock, -inf

    def __call__(self, text: str) -> None:
        """Show the message, or skip it."""
        if is_live():
            print(f"\r\x1b[K{printable(text)}", end="", file=sys.stderr, flush=True)
        elif self._clock() - self._shown >= PERIOD:
            self._shown = self._clock()
            say(text)

    def clear(self) -> None:
        """Empty the terminal's line."""
        if is_live():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
