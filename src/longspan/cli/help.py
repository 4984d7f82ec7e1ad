"""What `--help` prints: docstrings as they are meant, whatever the width of the terminal."""

from collections.abc import Callable
from inspect import cleandoc

from rich.markup import escape


def help_text(verb: Callable[..., None]) -> str:
    """Return a verb's docstring as typer wants it.

    A paragraph becomes one line, which the terminal breaks; an indented block keeps its lines; and brackets are
    printed, where rich would take them for markup.
    """
    paragraphs = cleandoc(verb.__doc__ or "").split("\n\n")
    lines = [text if text.startswith(" ") else text.replace("\n", " ") for text in paragraphs]
    return escape("\n\n".join(lines))
