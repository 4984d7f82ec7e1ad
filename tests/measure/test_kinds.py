"""What a measurement is called on disk and on the screen, and what it reads."""

import json
from collections.abc import Iterable
from math import expm1, log
from statistics import fmean
from typing import Any

import pytest

from longspan.measure.corpus.documents import Document
from longspan.measure.kinds.context import Context
from longspan.measure.kinds.reading import Reading
from longspan.measure.kinds.retrieval import Retrieval
from longspan.measure.kinds.short import Short
from longspan.measure.kinds.truncation import Truncation
from longspan.measure.measurement import Measurement, kinds
from longspan.measure.reading.loss import BINS
from longspan.measure.reading.reader import Reader
from longspan.study.planning.subject import Subject
from longspan.task import Example, Question
from standin import StandIn

ask = Subject("m", "float32", "0" * 16, 512, 4096).ask
DOCUMENT = Document("a.txt", 0, 4096, "0" * 64)
METHOD = "yarn(fast=20)"
MEASUREMENTS = (
    (ask(Reading, DOCUMENT, METHOD), "7a97bd2924937b1c", "yarn(fast=20) · reading 4096", [4096]),
    (ask(Context, DOCUMENT, METHOD, context=1024), "e8bc165f38291f89", f"{METHOD} · loss at context 1024", [1024]),
    (ask(Retrieval, DOCUMENT, METHOD, 2048), "cc750129921f4c7a", "yarn(fast=20) · retrieval at 2048", [2048]),
    (ask(Truncation, DOCUMENT, length=1024), "9ceff45f284a4607", "plain · the end of 1024", [512, 512]),
    (ask(Short, DOCUMENT), "b8806336ff622313", "plain · the start of 4096", [512]),
)
"""With the keys under which results are stored: one that changed would lose what users have measured."""


KINDS = [asked.kind for asked, *_ in MEASUREMENTS]


@pytest.mark.parametrize(("asked", "key", "words", "readings"), MEASUREMENTS, ids=KINDS)
def test_what_a_kind_says_of_itself(asked: Measurement, key: str, words: str, readings: list[int]) -> None:
    assert asked.key == key
    assert str(asked) == words
    assert asked.readings() == readings


@pytest.mark.parametrize("asked", [asked for asked, *_ in MEASUREMENTS], ids=KINDS)
def test_json_holds_a_measurement(asked: Measurement) -> None:
    assert Measurement.of(json.loads(json.dumps(asked.arguments))) == asked


def test_every_kind_is_pinned_here() -> None:
    assert {type(asked) for asked, *_ in MEASUREMENTS} == set(kinds().values())


# --- closed forms -----------------------------------------------------------------------------------------------------

PERIOD, TRAINED, LENGTH = 7, 64, 256
STATED = Subject("m", "float32", "0" * 16, TRAINED, LENGTH)
TAIL = STATED.tail
QUESTION = (LENGTH % PERIOD, (LENGTH + 1) % PERIOD)
TEXT = Example(
    tuple(i % PERIOD for i in range(LENGTH)),
    (True,) * LENGTH,
    (Question(QUESTION, tuple(((LENGTH + k) % PERIOD,) for k in (2, 3)), 0, 0.5, LENGTH),),
)


def loss(visible: float) -> float:
    """Of the next token when so many tokens are visible, nats; the stand-in's by definition."""
    return 0.2 + 3 / visible


def mean(visible: Iterable[int]) -> float:
    return fmean(map(loss, visible))


def likelihoods(visible: int) -> list[float]:
    """Of the next token, and of the one other that has a probability at all, nats."""
    return [-loss(visible), log(-expm1(-loss(visible)))]


WHOLE = {
    "loss": mean(range(LENGTH - TAIL, LENGTH)),
    "second_half": mean(range(LENGTH // 2, LENGTH)),
    "short": mean(range(1, TRAINED)),
    "positions": [mean(range(max(1, i * LENGTH // BINS), (i + 1) * LENGTH // BINS)) for i in range(BINS)],
}
ONE_BY_ONE = min(TAIL, TRAINED // 8)
"""Tokens that are scored of each text of the trained length, so that all of them see about as many tokens."""

CLOSED: dict[str, tuple[Measurement, dict[str, Any], int | None]] = {
    "reading": (STATED.ask(Reading, DOCUMENT), WHOLE, LENGTH),
    "retrieval": (STATED.ask(Retrieval, DOCUMENT), {}, LENGTH),
    "short": (STATED.ask(Short, DOCUMENT), {"short": WHOLE["short"]}, None),
    "context": (
        STATED.ask(Context, DOCUMENT, context=TRAINED),
        {"loss": mean(range(TRAINED - ONE_BY_ONE, TRAINED)), "tokens": TAIL},
        None,
    ),
    "truncation": (
        STATED.ask(Truncation, DOCUMENT),
        {"loss": mean(range(TRAINED - ONE_BY_ONE, TRAINED)), "tokens": TAIL},
        TRAINED - TEXT.room,
    ),
}
"""A measurement of each kind, what it must say, and how many tokens of the text its questions come after."""


@pytest.mark.parametrize("kind", CLOSED)
def test_a_kind_has_its_closed_form(kind: str) -> None:
    asked, wanted, before = CLOSED[kind]
    reader = Reader(StandIn(PERIOD, lambda following, visible: 0.2 + 3 / visible + 0 * following))
    found = asked.result(reader, TEXT, ())
    assert {name: found[name] for name in wanted} == {name: pytest.approx(wanted[name], abs=1e-6) for name in wanted}
    if before is None:
        assert "questions" not in found
    else:
        (question,) = found["questions"]
        assert question["scores"] == pytest.approx(likelihoods(before + len(QUESTION)), abs=1e-6)
        assert (found["right"], found["asked"]) == (1, 1)


def test_every_kind_has_its_closed_form_here() -> None:
    assert set(CLOSED) == set(kinds())
