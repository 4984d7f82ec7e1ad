"""The page: one self-contained HTML file, made from a summary alone."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from longspan.report.figure import gain_by_context, heat, loss_by_context, loss_by_position, several_contexts
from longspan.report.palette import css
from longspan.report.printable import printable
from longspan.report.verdict import PLAIN, TRUNCATION, few, grounds, headline, nats, percent, signed


def page(summary: Mapping[str, Any]) -> str:
    """The report as HTML; nothing in it is fetched from anywhere."""
    environment = Environment(
        loader=PackageLoader("longspan.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {"few": few, "nats": nats, "percent": percent, "signed": signed, "short": short}
    whole = all(row["failed"] is None for row in summary["methods"] if row["method"] in (PLAIN, TRUNCATION))
    figures = {"position": loss_by_position, "heat": heat}
    if several_contexts(summary):
        figures |= {"context": loss_by_context, "gain": gain_by_context}
    return environment.get_template("page.html").render(
        summary=summary,
        colors=Markup(css()),
        setting=summary["setting"],
        headline=headline(summary),
        grounds=grounds(summary),
        rows=summary["methods"],
        baselines=(PLAIN, TRUNCATION),
        figures={name: Markup(draw(summary)) for name, draw in figures.items()} if whole else {},
    )


def short(text: str) -> Markup:
    """A method's text with places where a line may break."""
    return escape(text).replace(" + ", Markup(" + <wbr>"))


def _shown(value: Any) -> Any:
    """Names of files as they can be printed, and stored as UTF-8; our own markup as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
