"""What `--help` prints: docstrings as they are meant, whatever the width of the terminal."""

from inspect import cleandoc
from typing import Any

from typer.core import TyperCommand


class Verb(TyperCommand):
    """A command whose help is the docstring of its function."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        self.help = help_text(self.callback.__doc__ or "")
        super().format_help(ctx, formatter)


def help_text(docstring: str) -> str:
    """Return a docstring as typer wants it.

    A paragraph becomes one line, which the terminal breaks; an indented block keeps its lines; and brackets are
    printed, where rich would take them for markup.
    """
    from rich.markup import escape  # a sixth of the time that a command needs to start, and only help needs it

    paragraphs = cleandoc(docstring).split("\n\n")
    lines = [text if text.startswith(" ") else text.replace("\n", " ") for text in paragraphs]
    return escape("\n\n".join(lines))
