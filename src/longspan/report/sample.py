"""Questions as the models were asked them, and what each method answered, from the records of a study.

Text and questions are made anew from document, length and seed; nothing is measured. They are the first ones about the
first judged document that have the same choices, whatever was answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longspan.errors import LongspanError
from longspan.measure.corpus.documents import opening
from longspan.measure.measurement import Measurement
from longspan.measure.models.loading import load_tokenizer
from longspan.report.records import records
from longspan.study.summary import Summary
from longspan.task import Example

KINDS = {"reading", "truncation"}
"""Kinds of measurement that ask about whole texts."""


@dataclass(frozen=True)
class Answer:
    """What a method answered.

    Arguments:
        method: a scheme's text, "plain" or "truncation".
        word: the likeliest choice.
        right: whether that is the fact.
    """

    method: str
    word: str
    right: bool


@dataclass(frozen=True)
class Sample:
    """A question and its answers.

    Arguments:
        document: its name.
        distance: tokens from the fact to the end of the question.
        question: the beginning of a sentence.
        choices: how it may go on.
        fact: how it goes on in the text.
        answers: of the methods.
    """

    document: str
    distance: int
    question: str
    choices: tuple[str, ...]
    fact: str
    answers: tuple[Answer, ...]


def samples(summary: Summary, folder: Path) -> tuple[Sample, ...]:
    """Return the questions; none where the folder has no records of them, or the documents have changed."""
    setting = summary.setting
    try:
        asked = {
            record["arguments"]["method"] if record["arguments"]["kind"] == "reading" else "truncation": record
            for record in records(folder)
            if _is_whole(record["arguments"], setting.length) and _document(record) == setting.documents[0]
        }
        answered = {row.method: asked[row.method] for row in summary.measured if row.method in asked}
        if not answered:
            return ()
        return _samples(setting.documents[0], _example(next(iter(answered.values()))["arguments"]), answered)
    except (OSError, ValueError, KeyError, LongspanError):
        return ()


def _is_whole(arguments: Mapping[str, Any], length: int) -> bool:
    return arguments.get("kind") in KINDS and arguments["length"] == length


def _document(record: Mapping[str, Any]) -> str:
    return Measurement.of(record["arguments"]).document.name


def _example(arguments: Mapping[str, Any]) -> tuple[Example, Any]:
    """The text with its questions, and the tokenizer."""
    asked = Measurement.of(arguments)
    tokenizer = load_tokenizer(asked.model)
    return asked.text(tokenizer, opening(tokenizer)), tokenizer


def _samples(
    document: str, asked: tuple[Example, Any], answered: Mapping[str, Mapping[str, Any]]
) -> tuple[Sample, ...]:
    text, tokenizer = asked
    first = [question for question in text.questions if question.choices == text.questions[0].choices]
    found = []
    for number, question in enumerate(first):
        choices = tuple(tokenizer.decode(list(choice)).strip() for choice in question.choices)
        answers = []
        for method, record in answered.items():
            answer = record["result"]["questions"][number]
            if answer["distance"] != question.distance:
                raise ValueError(f"{document} was asked another question")
            best = max(range(len(choices)), key=answer["scores"].__getitem__)
            answers.append(Answer(method, choices[best], bool(answer["right"])))
        words = tokenizer.decode(list(question.ids)).strip()
        found.append(Sample(document, question.distance, words, choices, choices[question.answer], tuple(answers)))
    return tuple(found)
