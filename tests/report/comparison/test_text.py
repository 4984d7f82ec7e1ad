"""Text, table and page of a comparison say the same."""

import csv
import io
import json
from pathlib import Path

from longspan.report.comparison.compare import compare
from longspan.report.comparison.finished import read
from longspan.report.comparison.page import files
from longspan.report.comparison.text import COLUMNS, share_text, table
from report.comparison.folders import METHODS, study, survey


def losses(shift: float) -> dict[str, list[float]]:
    return {method: [loss + shift * (1 + i / 100) for i in range(8)] for method, loss in METHODS.items()}


def test_the_whole_text(tmp_path: Path) -> None:
    """What the folders say, every method of each, and what is paired; whatever the width of the columns."""
    a, b = study(tmp_path / "a", losses(0)), study(tmp_path / "b", {"plain": losses(0.2)["plain"]})
    c = study(tmp_path / "c", None)
    says = (
        "bundled, trained on 512 tokens, float32, longspan extend. Use rerope(window=256) to read 4096 tokens. It "
        "gains 0.100 nats per token of fluency and finds 80 % of the far facts instead of 25 %."
    )
    numbers = [
        "truncation 4096 3.000 ± 0.020 25 % [23, 27]",
        "plain 4096 5.000 ± 0.020 2.000 ± 0.020 10 % [8, 12] 2,000",
        "rerope(window=256) 4096 2.900 ± 0.020 −0.100 ± 0.020 80 % [78, 82] 0.000 ± 0.001 2,730",
        "yarn(factor=8.0) 4096 3.200 ± 0.020 0.200 ± 0.020 40 % [38, 42] 0.100 ± 0.001 2,730",
    ]
    why = (
        "not paired with others: no results of single documents (results.jsonl) that fit its summary, in its folder or "
        "the first"
    )
    same = "facts +0 points [+0, +0] (8 documents)"
    assert [" ".join(line.split()) for line in share_text(compare(read([a, b, c]))).splitlines()] == [
        *(f"{name}: {says}" for name in "abc"),
        "",
        "method tokens loss loss minus truncation's facts cost on short texts tokens/s",
        *(line for name in "abc" for line in (name, *numbers)),
        "",
        "Paired by document with rerope(window=256) of a (value minus its value; 95 % intervals):",
        f"a, truncation, 4096: loss +0.100 [+0.100, +0.100] (8 documents), {same}",
        f"a, plain, 4096: loss +2.100 [+2.100, +2.100] (8 documents), {same}",
        f"a, yarn(factor=8.0), 4096: loss +0.300 [+0.300, +0.300] (8 documents), {same}",
        f"b, plain, 4096: loss +2.307 [+2.303, +2.311] (8 documents), {same}",
        *(f"b, {name}, 4096: {why}" for name in ("truncation", "rerope(window=256)", "yarn(factor=8.0)")),
        f"c: {why}",
    ]


def test_the_table_holds_every_number_and_every_difference(tmp_path: Path) -> None:
    a, b = study(tmp_path / "a", losses(0)), study(tmp_path / "b, with a comma", losses(0.5))
    comparison = compare(read([a, b]))
    lines = list(csv.DictReader(io.StringIO(table(comparison))))
    assert lines
    assert tuple(lines[0]) == COLUMNS
    for row in comparison.rows:
        own = {line["quantity"]: line for line in lines if (line["folder"], line["method"]) == (row.label, row.method)}
        assert set(own) == set(row.values)
        for name, found in row.values.items():
            assert (float(own[name]["value"]), int(own[name]["documents"])) == (found.value, found.documents)
            assert own[name]["unit"] == comparison.units[name]
            differs = row.differences.get(name)
            assert own[name]["difference"] == ("" if differs is None else str(differs.value))
            assert own[name]["pairs"] == ("" if differs is None else str(differs.documents))


def test_one_document_has_no_interval(tmp_path: Path) -> None:
    """An infinite end is empty in the table, null in JSON and ∞ in words."""
    a, b = study(tmp_path / "a"), study(tmp_path / "b")
    found = json.loads((b / "summary.json").read_text())
    found["methods"][1]["beyond"] = {"value": 0.5, "low": None, "high": None, "documents": 1}
    (b / "summary.json").write_text(json.dumps(found))
    comparison = compare(read([a, b]))
    (line,) = (
        line
        for line in csv.DictReader(io.StringIO(table(comparison)))
        if (line["folder"], line["method"], line["quantity"]) == ("b", "plain", "facts")
    )
    assert (line["value"], line["low"], line["high"], line["documents"]) == ("0.5", "", "", "1")
    json.dumps(comparison.json(), allow_nan=False)
    assert "50 % [∞, ∞]" in share_text(comparison)


def test_files_and_figures(tmp_path: Path) -> None:
    """A figure for each quantity of several rows; curves where a method was measured at several lengths."""
    a, b = study(tmp_path / "a", losses(0)), study(tmp_path / "b", losses(0.1))
    written = files(compare(read([a, b])))
    kinds = ("loss", "loss-minus-truncations", "facts", "cost-on-short-texts", "tokens-s")
    assert set(written) == {
        "comparison.html",
        "comparison.csv",
        "comparison.txt",
        *(f"comparison-{kind}.svg" for kind in kinds),
    }
    assert "length, tokens" not in written["comparison-loss.svg"]
    assert "b: rerope(window=256)" in written["comparison-loss.svg"]
    surveys = [survey(tmp_path / name, {("plain", n): [0.5, 1.0] for n in (512, 1024)}) for name in ("c", "d")]
    assert "length, tokens" in files(compare(read(surveys)))["comparison-mqar.svg"]
    alone = survey(tmp_path / "e", {("plain", 512): [0.5, 1.0]})
    assert [name for name in files(compare(read([alone]))) if name.endswith(".svg")] == []
