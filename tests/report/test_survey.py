"""The short text of `longspan measure` says what was measured, and marks what was not."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

import longspan
from longspan.measure.statistics.effective import Threshold, certify
from longspan.measure.statistics.interval import Estimate, mean
from longspan.report.figures.length import several_lengths
from longspan.report.survey import files, share_text
from longspan.report.text import aligned, value
from longspan.survey.summary import NumberRow, Setting, Survey, TaskRow

SETTING = Setting(
    model="bundled",
    trained_length=512,
    dtype="float32",
    fingerprint="0" * 16,
    lengths=(512, 1024),
    claim="0.5",
    documents=("book.txt",),
    hardware="a processor, 2 threads",
    versions={"python": "3.11.7", "torch": "2.13.0"},
    command="longspan measure --task niah_single_1",
    out_of_time=False,
)
SCORES = {512: [1.0] * 40, 1024: [0.0] * 40}
CERTIFICATE = certify(SCORES, SCORES[512], Threshold(0.5))
PLAIN = TaskRow(
    "niah_single_1",
    "plain",
    {length: mean(scores) for length, scores in SCORES.items()},
    {1024: {0.5: mean([0.5, 0.25]), 1.0: mean([1.0, 1.0])}},
    {"question_alone": mean([0.25, 0.0]), "shuffled": mean([0.0, 0.0])},
    CERTIFICATE,
    None,
    0.25,
)
FAILED = TaskRow("niah_single_1", "ntk(factor=16.0)", {}, {}, {}, None, "the model returned NaN")
BEGUN = TaskRow("vt", "plain", {512: mean([0.5])}, {}, {}, None, None)
LOSS = NumberRow("last_k", "plain", "nats", {512: Estimate(3.25, 3.0, 3.5, 8), 1024: Estimate(4.0, 3.9, 4.1, 8)}, None)
SURVEY = Survey(SETTING, (PLAIN, FAILED, BEGUN), (LOSS, replace(LOSS, method="yarn", values={}, failed="NaN")))


def first_line(path: str) -> str:
    """What a file says that it is."""
    return (Path(longspan.__file__).parent / path).read_text(encoding="utf-8").splitlines()[0].strip('"')


def test_the_whole_text() -> None:
    """Whatever the width of its columns, which `aligned` makes."""
    assert [" ".join(line.split()) for line in share_text(SURVEY).splitlines()] == [
        "bundled, trained on 512 tokens, float32",
        "",
        "score, 0 to 1 (documents) 512 1024 guessing",
        "niah_single_1, plain 1.00 (40) 0.00 (40) 0.25",
        "niah_single_1, ntk(factor=16.0) failed failed",
        "vt, plain 0.50 (1)",
        "",
        f"niah_single_1, plain: {PLAIN.sentence}.",
        "niah_single_1, ntk(factor=16.0): failed: the model returned NaN.",
        "vt, plain: not measured at every length yet; run the same command again.",
        "The short score is the plain model's at 512 tokens; at 95%: of a hundred such sentences, five may be wrong, "
        "however often one looks.",
        "",
        "Scores by where the answer is, from 0, the text's start, to 1:",
        "niah_single_1, plain at 1024: 0.5: 0.38, 1: 1.00",
        "",
        "Controls at 1024 tokens, where a high score means that the task proves nothing:",
        "niah_single_1, plain: question alone 0.12 (2), shuffled 0.00 (2)",
        "",
        "loss ± half the 95 % interval 512 1024",
        "last_k, plain 3.250 ± 0.250 4.000 ± 0.100 nats",
        "last_k, yarn failed failed nats",
        "",
        "niah_single_1: One number of one key, hidden in five sentences that repeat.",
        "vt: " + first_line("tasks/vt.py"),
        "last_k: " + first_line("measure/reductions/last_k.py"),
        "",
        "a processor, 2 threads; python 3.11.7, torch 2.13.0",
        "longspan measure --task niah_single_1",
    ]
    assert "up to 512 tokens" in PLAIN.sentence
    assert "it does not hold at 1024" in PLAIN.sentence


def test_what_voids_a_certificate_is_shared_with_it() -> None:
    documents = tuple(f"book.txt [{i}]" for i in range(8))
    for count, parts in ((1, "one file"), (3, "3 files")):
        said = share_text(replace(SURVEY, setting=replace(SETTING, documents=documents, files=count, out_of_time=True)))
        assert f"\nThe 8 documents are parts of {parts}: certificates and intervals may claim too much.\n" in said
        assert "\nThe budget ended before everything was decided.\n" in said
    for count in (None, 8):
        said = share_text(replace(SURVEY, setting=replace(SETTING, documents=documents, files=count)))
        assert "parts of" not in said
        assert "budget" not in said


def test_parts_that_a_survey_lacks_are_left_out() -> None:
    only_losses = share_text(replace(SURVEY, tasks=()))
    assert "score" not in only_losses
    assert "Controls" not in only_losses
    assert "loss ±" in only_losses
    only_tasks = share_text(replace(SURVEY, tasks=(BEGUN,), losses=()))
    assert "Controls" not in only_tasks
    assert "loss ±" not in only_tasks
    assert "where the answer is" not in only_tasks


def test_curves_need_two_points() -> None:
    """One length makes no curve, nor do methods that failed; then there is no file."""
    assert set(files(SURVEY)) == {"share.txt", "curves.svg"}
    for tasks in ((), (BEGUN,), (FAILED,), (BEGUN, FAILED)):
        found = replace(SURVEY, tasks=tasks)
        assert not several_lengths(found)
        assert set(files(found)) == {"share.txt"}


def test_curves_show_what_has_numbers_and_name_it_whole() -> None:
    long = "self_extend(window=2048, group=8) + log_length(trained_length=8192)"
    drawn = files(replace(SURVEY, tasks=(PLAIN, replace(PLAIN, method=long), FAILED)))["curves.svg"]
    root = ElementTree.fromstring(drawn)
    texts = [(each.text or "").strip() for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "niah_single_1, plain" in texts
    assert f"niah_single_1, {long}" in " ".join(texts)
    assert not any("ntk" in text for text in texts)
    assert "trained length 512" in texts


CELLS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=9).filter(
    lambda text: text == text.strip() and "  " not in text
)


TABLES = st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1))


@given(TABLES)
def test_columns_line_up_and_keep_every_cell(rows: list[list[str]]) -> None:
    """Numbers end in the same place on every line, names begin in the first one, and nothing is cut."""
    lines = aligned(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for line, row in zip(lines, rows, strict=True):
        at = 0
        for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
            piece = line[at : at + width]
            assert piece.strip() == cell
            assert piece.startswith(cell) if number == 0 else piece.endswith(cell)
            at += width + 2


@given(st.floats(-9, 9), st.floats(0, 9), st.integers(2, 40))
def test_half_an_interval_is_half_its_length(center: float, half: float, documents: int) -> None:
    text = value(Estimate(center, center - half, center + half, documents))
    shown, _, around = text.partition(" ± ")
    assert abs(float(shown) - center) <= 0.0005001
    assert abs(float(around) - half) <= 0.0005001


def test_one_document_has_no_half() -> None:
    assert value(Estimate(0.5, float("-inf"), float("inf"), 1)) == "0.500"
    assert value(None) == ""
    assert value(None, "NaN") == "failed"
