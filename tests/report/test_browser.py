"""The page in a real browser: on a phone and on a desk, in light and in dark, everything is shown and can be read."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser

from longspan.report.comparison import page as comparison
from longspan.report.comparison.compare import compare
from longspan.report.comparison.finished import read
from longspan.report.page import page
from longspan.report.runtimes import lines
from longspan.report.sample import Answer, Sample
from longspan.study.summary import Summary
from report.browser import DESK, FAINT, FIGURES, MISSING, PHONE, WIDER, launched, opened
from report.comparison.folders import METHODS, study, survey
from report.summaries import decided, judged, nothing, shown, summary, within

RESULTS = sorted((Path(__file__).parents[2] / "experiments" / "results").glob("extend-*/summary.json"))
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def one_point() -> dict[str, Any]:
    """A summary of a short budget: one context."""
    found = summary()
    for each in found["methods"]:
        for name in ("loss", "loss_minus_truncation"):
            each[name] = {"4096": each[name]["4096"]}
    return found


def extreme() -> dict[str, Any]:
    """Long names, a plain model that is far worse, a method that failed, many files dropped."""
    long = "dual_chunk(chunk=12288, local=1024) + log_length(trained_length=131072) + window(size=131072, sinks=64)"
    found = summary(winner=long)
    found["methods"] = [
        *found["methods"][:2],
        judged(long, 2.8, 0.97, 0.0),
        judged("yarn_" + "x" * 90, 3.2, 0.4, 0.1),
        {"method": "ntk(factor=16.0)", "failed": "the model returned NaN or infinity " * 5},
    ]
    found["methods"][1]["loss_minus_truncation"]["4096"] = {"value": 9.5, "low": 9.0, "high": 10.0, "documents": 8}
    found["setting"]["contexts"] = [2**power for power in range(8, 18)]
    found["setting"]["dropped"] = [f"/a/very/long/path/without/any/end/{'b' * 90}/{i}.txt: short" for i in range(20)]
    return found


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "winner": summary,
    "nothing": nothing,
    "decided": decided,
    "within": within,
    "one point": one_point,
    "extreme": extreme,
    **{path.parent.name: lambda path=path: json.loads(path.read_text(encoding="utf-8")) for path in RESULTS},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


def compared(folder: Path) -> str:
    """Studies and surveys beside each other: with and without records, some with long names."""
    values = {method: [loss + i / 8 for i in range(8)] for method, loss in METHODS.items()}
    scores = {(name, n): [0.5, 1.0] for name in ("plain", "yarn(factor=8.0)") for n in (512, 1024)}
    folders = [
        study(folder / "first", values),
        study(folder / ("a-very-long-name-of-a-folder-" * 3), values),
        study(folder / "without-records"),
        survey(folder / "survey", scores),
        *(path.parent for path in RESULTS),
    ]
    return comparison.page(compare(read(folders)))


@pytest.fixture(scope="module", params=[*CASES, "comparison"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on disk, as a study or `longspan report` writes it."""
    written = tmp_path_factory.mktemp("page") / "report.html"
    if request.param == "comparison":
        written.write_text(compared(written.parent), encoding="utf-8")
        return written
    found = Summary.of(CASES[request.param]())
    words = ("lemon", "a_very_long_word_" * 4, "pear", "fig")
    asked = Sample("book.txt", 3941, "The secret code of Alice is", words, "lemon", (Answer("plain", words[1], False),))
    written.write_text(page(found, lines(found), [asked] * 3), encoding="utf-8")
    return written


def test_everything_is_shown_and_can_be_read(browser: Browser, path: Path) -> None:
    found: dict[str, list[str]] = {}
    with opened(browser, path) as (shown, events):
        for width in (PHONE, DESK):
            shown.set_viewport_size({"width": width, "height": 900})
            found[f"wider than {width}"] = shown.evaluate(WIDER)
            found[f"figures at {width}"] = shown.evaluate(FIGURES)
            for scheme in SCHEMES:
                shown.emulate_media(color_scheme=scheme)
                found[f"faint in {scheme} at {width}"] = shown.evaluate(FAINT)
        found["events"] = events
    assert {what: lines for what, lines in found.items() if lines} == {}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("page") / "report.html"
    written.write_text(shown(page, summary()), encoding="utf-8")
    return written


def test_a_phone_shows_what_a_desk_shows(browser: Browser, made: Path) -> None:
    """Nothing but the heads of tables, which become labels, is hidden."""
    words = []
    for width in (PHONE, DESK):
        with opened(browser, made, width) as (found, _):
            heads = found.locator("thead th").all_text_contents()
            words.append(set(found.inner_text("main").split()))
    phone, desk = words
    assert desk - phone <= set(" ".join(heads).split())
    with opened(browser, made, PHONE) as (found, _):
        labels = found.evaluate(
            """() => [...document.querySelectorAll(".table td[data-label]")]
                .map(each => getComputedStyle(each, "::before").content)"""
        )
    assert labels
    assert all(label.strip('"') for label in labels)
    assert "none" not in labels


def test_a_click_on_a_head_sorts(browser: Browser, made: Path) -> None:
    with opened(browser, made) as (found, events):
        table = found.locator("table.sortable").first
        methods = table.locator("tbody td:first-child code")
        assert methods.all_inner_texts() == ["truncation", "plain", "rerope(window=256)", "yarn(factor=8.0)"]
        fluency = table.locator("th button").nth(1)
        fluency.click()
        assert methods.all_inner_texts() == ["rerope(window=256)", "truncation", "yarn(factor=8.0)", "plain"]
        fluency.click()
        assert methods.all_inner_texts() == ["plain", "yarn(factor=8.0)", "truncation", "rerope(window=256)"]
        assert table.locator("th").nth(1).get_attribute("aria-sort") == "descending"
        table.locator("th button").first.click()
        assert methods.all_inner_texts() == ["plain", "rerope(window=256)", "truncation", "yarn(factor=8.0)"]
        race = found.locator("table.sortable").nth(1)
        for _ in range(2):  # what failed has no number, and stays last
            race.locator("th button").nth(1).click()
            assert race.locator("tbody td:first-child code").all_inner_texts()[-1] == "ntk(factor=16.0)"
        assert events == []


def test_lines_to_type_can_be_copied_with_and_without_the_script(browser: Browser, made: Path) -> None:
    with opened(browser, made, permissions=["clipboard-read", "clipboard-write"]) as (found, _):
        box = found.locator(".copy").first
        box.locator("button").click()
        text = box.locator("pre").inner_text()
        assert found.evaluate("navigator.clipboard.readText()") == text
        assert 'longspan.load("/somewhere/model")' in text
    with opened(browser, made, java_script_enabled=False) as (found, _):
        assert found.locator("button").count() == 0
        assert found.locator(".copy pre").first.inner_text() == text
        style = found.locator(".copy pre").first.evaluate("each => getComputedStyle(each).userSelect")
        assert style in ("auto", "text")


def test_what_is_wrong_is_noticed(browser: Browser, tmp_path: Path) -> None:
    """The checks above see a page that is too wide, faint, cut, crowded and not alone."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        """<body style="background: #fff"><div style="width: 2000px">wide</div><p style="color: #999">faint</p>
        <figure><svg viewBox="0 0 100 50" aria-label="bad" style="width: 100px"><defs><clipPath id="c">
        <rect x="10" y="10" width="50" height="30"/></clipPath></defs><rect x="90" y="0" width="20" height="5"/>
        <g clip-path="url(#c)"><rect x="55" y="20" width="10" height="5"/></g>
        <text x="20" y="30">one</text><text x="25" y="30">two</text></svg></figure>
        <img src="elsewhere.png"><script>nowhere()</script></body>""",
        encoding="utf-8",
    )
    with opened(browser, bad) as (found, events):
        assert any("wide" in each for each in found.evaluate(WIDER))
        assert any("faint" in each for each in found.evaluate(FAINT))
        figures = found.evaluate(FIGURES)
        assert any("outside" in each for each in figures)
        assert any("clipped" in each for each in figures)
        assert any("one over two" in each for each in figures)
        assert any(each.endswith("elsewhere.png") for each in events)
        assert any("nowhere is not defined" in each for each in events)


def test_a_missing_browser_is_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=MISSING), launched():
        pass
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="make browser"), launched():
        pass
