"""The page: one self-contained HTML file, made from a summary alone."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from longspan.measure.model import PLAIN
from longspan.report.figure import gain_by_context, heat, loss_by_context, loss_by_position, several_contexts
from longspan.report.palette import css
from longspan.report.printable import printable
from longspan.report.words import documents_if_fewer, grounds, headline, nats, percent, signed
from longspan.study.summary import Summary


def page(summary: Summary) -> str:
    """Return the report as HTML; nothing in it is fetched from anywhere."""
    environment = Environment(
        loader=PackageLoader("longspan.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    filters = {"documents_if_fewer": documents_if_fewer, "nats": nats, "percent": percent, "signed": signed}
    environment.filters |= {**filters, "short": short}
    figures = {"position": loss_by_position, "heat": heat}
    if several_contexts(summary):
        figures |= {"context": loss_by_context, "gain": gain_by_context}
    comparable = summary.row(PLAIN) is not None and summary.truncation is not None
    return environment.get_template("page.html").render(
        summary=summary,
        colors=Markup(css()),
        setting=summary.setting,
        headline=headline(summary),
        grounds=grounds(summary),
        rows=summary.methods,
        figures={name: Markup(draw(summary)) for name, draw in figures.items()} if comparable else {},
    )


def short(text: str) -> Markup:
    """Return a method's text with places where a line may break."""
    return escape(text).replace(" + ", Markup(" + <wbr>"))


def _shown(value: Any) -> Any:
    """Names of files as they can be printed, and stored as UTF-8; our own markup as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
