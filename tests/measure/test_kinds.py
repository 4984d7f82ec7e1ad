"""What a measurement is called on disk and on the screen, and what it reads."""

import json

import pytest

from longspan.measure.documents import Document
from longspan.measure.kinds.context import Context
from longspan.measure.kinds.reading import Reading
from longspan.measure.kinds.retrieval import Retrieval
from longspan.measure.kinds.short import Short
from longspan.measure.kinds.truncation import Truncation
from longspan.measure.measurement import Measurement, kinds
from longspan.study.planning.subject import Subject

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
