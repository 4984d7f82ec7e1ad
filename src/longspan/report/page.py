"""The page: one self-contained HTML file, made from a summary alone."""

import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from longspan.measure.models.model import PLAIN
from longspan.report.card import caveats, confidence, subject, ties, tiles
from longspan.report.figures.context import gain_by_context, loss_by_context, several_contexts
from longspan.report.figures.position import loss_by_position
from longspan.report.figures.rows import gain, whose
from longspan.report.figures.speed import quality_by_speed
from longspan.report.palette import css
from longspan.report.printable import printable
from longspan.report.runtimes import Lines
from longspan.report.sample import Sample
from longspan.report.words import documents_if_fewer, grounds, headline, interval, nats, percent, signed, trade
from longspan.study.summary import Summary

LOAD = """import longspan
from transformers import AutoTokenizer

model = longspan.load({model})
tokenizer = AutoTokenizer.from_pretrained({model})
tokens = tokenizer(open("document.txt").read(), return_tensors="pt")
model.generate(**tokens, max_new_tokens=200)"""
ATTACH = """with longspan.attached(model, {method}, length={length}):
    model.generate(**tokens)"""

GLOSSARY = {
    "token": "What a model reads and writes: a word or a part of one.",
    "trained length": "The number of tokens of the texts that the model was trained on.",
    "truncation": "Reading only the last tokens, as many as the trained length: what costs nothing.",
    "plain model": "The model without any method, on the whole text.",
    "loss, nats per token": "How badly the model predicts the next token: the mean of −ln of the probability that it "
    "gave the token that came. Lower is better; 0.1 nats less means a probability that is about 10 % higher.",
    "fluency": "The loss of the last tokens of a text, which must be read with all that comes before them.",
    "facts found": "Right answers to questions about sentences hidden in the text, four choices each; guessing finds "
    "25 %.",
    "95 % interval": "In brackets: where the true mean over documents like these is expected. Where the interval of a "
    "difference contains 0, the difference may be chance.",
    "tie": "Methods whose difference may be chance.",
    "race, judgement": "All candidates on a few documents; then the best of them on other documents, so that the "
    "choice does not flatter them.",
    "short texts": "Texts within the trained length, which a method should leave as good as they were.",
}


def page(summary: Summary, lines: Lines | None = None, asked: Sequence[Sample] = ()) -> str:
    """Return the report as HTML; nothing in it is fetched from anywhere.

    Arguments:
        lines: what starts a runtime with a method.
        asked: questions with their answers.
    """
    figures = {"position": loss_by_position, "speed": quality_by_speed}
    if several_contexts(summary):
        figures |= {"context": loss_by_context, **({"gain": gain_by_context} if summary.truncation else {})}
    comparable = summary.row(PLAIN) is not None and summary.row(summary.baseline) is not None
    heated = [row for row in summary.measured if row.heat] if comparable else []
    cells = [cell for row in heated for cell in row.heat]
    about = subject(summary) if comparable else None
    method = summary.winner or summary.written or summary.methods[-1].method
    bargain = " ".join(trade(summary))
    return render(
        "study.html",
        summary=summary,
        setting=summary.setting,
        headline=headline(summary).removesuffix(bargain).strip(),
        bargain=bargain,
        gain=lambda row: gain(row, summary),
        whose=whose(summary),
        about=about,
        tiles=tiles(about, summary) if about else [],
        confidence=confidence(about, summary) if about else "",
        ties=ties(summary),
        caveats=caveats(summary),
        grounds=grounds(summary),
        rows=summary.methods,
        lines=lines or {},
        exportable=summary.row(summary.verdict.exportable),
        asked=asked,
        glossary=GLOSSARY,
        figures={name: Markup(draw(summary)) for name, draw in figures.items()} if comparable else {},
        heated=heated,
        lengths=sorted({cell.length for cell in cells}),
        depths=sorted({cell.depth for cell in cells}),
        load=code(LOAD, model=summary.model),
        attach=code(ATTACH, method=method, length=summary.setting.length),
    )


def render(template: str, **values: Any) -> str:
    """Return a template as a page that fetches nothing, with the colors and the script that all pages share."""
    environment = Environment(
        loader=PackageLoader("longspan.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    filters = {"documents_if_fewer": documents_if_fewer, "nats": nats, "percent": percent, "signed": signed}
    environment.filters |= {**filters, "short": short, "interval": interval}
    environment.globals["signed"] = signed
    script = environment.get_template("script.js").render()
    digest = b64encode(sha256(script.encode()).digest()).decode()
    fixed = {"colors": Markup(css()), "script": Markup(script), "script_hash": f"sha256-{digest}"}
    return environment.get_template(template).render(**fixed, **values)


def short(text: str) -> Markup:
    """Return a method's text with places where a line may break."""
    return escape(text).replace(" + ", Markup(" + <wbr>"))


def code(template: str, **values: Any) -> Markup:
    """Return lines of Python with these values in them, printable."""
    shown = {name: printable(json.dumps(value, ensure_ascii=False)) for name, value in values.items()}
    return escape(template.format(**shown))


def _shown(value: Any) -> Any:
    """Names of files as they can be printed, and stored as UTF-8; our own markup as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
