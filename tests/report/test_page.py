import re
from html.parser import HTMLParser
from typing import Any

import pytest

from longspan.report.figures.canvas import PLACEHOLDERS
from longspan.report.figures.context import gain_by_context, loss_by_context
from longspan.report.figures.position import loss_by_position
from longspan.report.figures.speed import quality_by_speed
from longspan.report.page import page
from longspan.report.palette import DARK, LIGHT, standalone
from longspan.report.table import table
from longspan.report.words import verdict
from report.summaries import decided, nothing, shown, summary, within

FIGURES = {"context": loss_by_context, "gain": gain_by_context, "position": loss_by_position, "speed": quality_by_speed}


class Balance(HTMLParser):
    """Fails where a tag is closed that was not opened last."""

    ALONE = ("meta", "br", "wbr", "path", "use", "line")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.ALONE:
            assert self.open.pop() == tag


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("\u200b", "").split())


def test_a_memory_says_what_it_keeps_and_loses() -> None:
    found = summary()
    found["methods"][2] |= {"cache_bytes": 5 * 2**19, "lost": [0.118, 0.4]}
    assert shown(lambda read: read.json(), found)["methods"][2]["lost"] == [0.118, 0.4]
    text = text_of(shown(page, found))
    assert "cache at the end" in text
    assert "2.5 MiB" in text
    assert "which lose 12 % of their keys and 40 % of their values" in text
    assert "keeps codes" not in text_of(shown(page, summary()))


def test_the_page_says_it_all() -> None:
    html = shown(page, summary())
    text = text_of(html)
    for words in (
        "Use rerope(window=256) to read 4096 tokens.",
        "Of facts more than 512 tokens back it finds 80 % [78, 82]: better than truncation, which finds 25 %",
        "Loss at 4096 tokens: better than truncation by 0.100 [0.080, 0.120] nats per token.",
        "yarn(factor=8.0)",
        "failed: the model returned NaN or infinity",
        'longspan.load( "/somewhere/model" )'.replace("( ", "(").replace(" )", ")"),
        "the candidates &lt;dual_chunk&gt;",
        "1 file dropped",
        "longspan extend --to 4096",
    ):
        assert words.replace('"', "&#34;") in text or words in text, words
    balance = Balance()
    balance.feed(html)
    assert balance.open == []


def test_the_page_fetches_nothing() -> None:
    html = shown(page, summary())
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', html.replace("xlink:", ""))
    assert "@import" not in html
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert policy[1].startswith("default-src 'none'; ")
    assert html.count("<script>") == 1


def test_without_a_winner_no_model_is_promised() -> None:
    text = text_of(shown(page, nothing()))
    assert "Nothing beats truncation here: keep the last 512 tokens." in text
    assert "No model was written" in text


def test_a_failed_method_has_no_numbers() -> None:
    found = summary()
    found["methods"][3] = {"method": "yarn(factor=8.0)", "failed": "the model returned NaN or infinity"}
    assert text_of(shown(page, found)).count("failed: the model returned NaN or infinity") == 3
    assert "| `yarn(factor=8.0)` | failed: the model returned NaN or infinity |" in shown(table, found)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_take_their_colors_from_the_page(name: str) -> None:
    svg = shown(FIGURES[name], summary())
    assert not [placeholder for placeholder in PLACEHOLDERS if placeholder in svg]
    assert set(re.findall(r"var\(--(\w+)\)", svg)) <= {*LIGHT, "sans"}
    assert "var(--ink)" in svg
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= {"#ffffff", "#000000"}


def test_figures_name_the_methods_and_the_trained_length() -> None:
    svg = shown(loss_by_context, summary())
    for words in ("rerope(window=256)", "yarn(factor=8.0)", "truncation, to beat", "trained length 512"):
        assert words in svg
    assert shown(loss_by_context, summary()) == svg


def test_facts_found_have_totals() -> None:
    """By depth and length, and over all depths; a depth that was not asked about has no number."""
    found = summary()
    found["methods"][2]["heat"] = [
        {"length": 512, "depth": 0.5, "right": 5, "asked": 8},
        {"length": 4096, "depth": 0.5, "right": 2, "asked": 8},
        {"length": 4096, "depth": 0.95, "right": 3, "asked": 4},
    ]
    html = shown(page, found)
    table = text_of(html[html.index("<h3>rerope(window=256)") :].partition("</table>")[0])
    assert table == "rerope(window=256) 512 4096 5 % – – 50 % 5/8 2/8 95 % – 3/4 all 5/8 5/12"


def test_a_figure_alone_brings_its_colors() -> None:
    svg = standalone(shown(loss_by_context, summary()))
    assert svg.startswith("<svg")
    assert LIGHT["ink"] in svg
    assert DARK["ink"] in svg
    assert LIGHT.keys() == DARK.keys()


def test_the_winner_stands_out_in_the_table() -> None:
    lines = shown(table, summary()).splitlines()
    assert lines[4].startswith("| **`rerope(window=256)`** | −0.100 [−0.120, −0.080] | 80 % [78, 82] | +0.000")
    assert lines[2].startswith("| `truncation` | to beat | 25 %")


def test_a_plain_model_that_read_fewer_documents_says_so_everywhere() -> None:
    found = summary()
    for loss in found["methods"][1]["loss"].values():
        loss["documents"] = 2
    words = shown(verdict, found)
    assert "The plain model (2 documents): Of facts more than 512 tokens back it finds 10 % [8, 12]" in words
    assert " 8 documents; 95 % intervals" in words
    assert "| `plain` (2 documents) |" in shown(table, found)
    for name in ("context", "position"):
        assert "plain (2 documents)" in shown(FIGURES[name], found)
    assert text_of(shown(page, found)).count("plain (2 documents)") == 5
    assert text_of(shown(page, found)).count("plain model (2 documents)") == 1
    assert "(8 documents)" not in words + shown(table, found) + shown(page, found)


def test_within_the_trained_length_the_plain_model_is_to_beat() -> None:
    """There is no truncation, and nothing speaks of it as a baseline."""
    html = shown(page, within())
    text = text_of(html)
    assert html.count("<svg") == 3
    assert "Paired difference to truncation" not in html
    assert "loss at 4096 minus the plain model’s" in text
    assert "−2.100 [−2.120, −2.080]" in text
    assert "to beat" in text
    assert "trained length 8192" not in html
    assert "| `plain` | to beat | 10 %" in shown(table, within())
    assert "| **`rerope(window=256)`** | −2.100 [−2.120, −2.080] | 80 %" in shown(table, within())
    assert "minus the plain model's, nats | facts found |" in shown(table, within())


def test_names_that_the_user_gave_are_kept() -> None:
    found = decided()
    found["names"] = {"rerope(window=256)": "rerope", "yarn(factor=8.0)": "yarn"}
    html = shown(page, found)
    for name in ("rerope", "yarn"):
        assert f"<h3>{name}</h3>" in html
        assert f"<code>{name}</code>" in html
        for draw in FIGURES.values():
            assert f">{name}</text>" in shown(draw, found)
    assert "**`rerope`**" in shown(table, found)
    assert 'longspan.attached(model, "rerope(window=256)"' in text_of(html).replace("&#34;", '"')


def test_one_point_makes_no_curve() -> None:
    """Where the budget left a single context, the page has no figure by context, and says why."""
    found = summary()
    for each in found["methods"]:
        for name in ("loss", "loss_minus_truncation"):
            each[name] = {"4096": each[name]["4096"]}
    html = shown(page, found)
    assert html.count("<svg") == 2
    assert "Loss of the same last tokens" not in html
    assert "To keep to the budget, only the context of 4096 tokens was measured" in text_of(html)
    assert shown(page, summary()).count("<svg") == 4
    assert "To keep to the budget, only" not in text_of(shown(page, summary()))


def test_the_shorter_text_that_decided_who_races_is_shown() -> None:
    found = summary()
    before = text_of(shown(page, found))
    assert "All candidates on 1 other document, 4096 tokens read" in before
    assert "Which of them race" not in before
    row = {"method": "alibi", "failed": None, "loss": 6.125, "beyond": 0.5, "price": 0.0, "tokens_per_second": 900.0}
    found["race"] |= {"entry": [row], "entry_length": 1024}
    html = shown(page, found)
    Balance().feed(html)
    after = text_of(html)
    assert "The most promising candidates on 1 other document" in after
    assert "Which of them race was decided by one text of 1024 tokens, which all have read:" in after
    assert "alibi 6.125" in after
