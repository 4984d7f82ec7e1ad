"""Lines on the terminal; names that a user gave are printed literally, whatever they hold."""

import os
import sys
from collections.abc import Callable
from math import inf
from time import monotonic

from longspan.report.printable import printable

PERIOD = 60.0
"""Seconds between two lines of progress where there is no terminal."""


def say(text: str) -> None:
    """Print a line for people on stderr, beside the results."""
    print(printable(text), file=sys.stderr, flush=True)


def answer(text: str) -> None:
    """Print one or more lines of the result on stdout."""
    for line in text.split("\n"):
        print(printable(line))


def print_anything() -> None:
    """Escape what the terminal's encoding lacks, so that a minus sign cannot end a study with an error."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def is_live() -> bool:
    """Whether stderr is a terminal on which a line can be replaced."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


class Ticker:
    """The latest of many short messages: one line that is replaced on a terminal, elsewhere at most a line a minute."""

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
