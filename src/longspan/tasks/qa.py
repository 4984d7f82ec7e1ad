"""Questions from a file in SQuAD's format, each asked after its own paragraph among others.

A model must find the one paragraph that answers and copy a phrase of it. Paragraphs of the same article come first
among the others: they are about the same subject. The score is 1 where the output contains an accepted answer.
Chance is near zero, but many questions can be answered from memory: compare with the question alone.

Source: Rajpurkar et al. 2018, SQuAD 2.0, arXiv:1806.03822; Hsieh et al. 2024, RULER, arXiv:2404.06654 (qa_1);
NVIDIA/RULER, scripts/data/synthetic/qa.py.
Differs: any file of this format; prompts of all lengths ask the same questions; a part of one more paragraph comes
last, so that prompts come within 3 % of the wanted length; the order is drawn for each example.
"""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from longspan.errors import InputError
from longspan.memo import remember_file
from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount, filler
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import AnyOf
from longspan.prompts.task import PromptTask, Request

INSTRUCTION = (
    "Answer the question based on the given documents. Only give me the answer and do not output any other words."
)
BEFORE = f"{INSTRUCTION}\n\nThe following are given documents.\n\n"
QUESTION = f"\n\n{INSTRUCTION}\n\nQuestion: {{question}} Answer:"


@dataclass(frozen=True)
class Asked:
    """A question of the file.

    Arguments:
        question: the question.
        answers: accepted answers.
        paragraph: what answers it.
        article: all paragraphs of the same article.
    """

    question: str
    answers: tuple[str, ...]
    paragraph: str
    article: tuple[str, ...]


@dataclass(frozen=True)
class Qa(PromptTask):
    """RULER's qa_1 for any file.

    Arguments:
        path: a JSON file in the format of SQuAD 1.1 or 2.0.
    """

    generated = 32

    path: str = ""

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Put the paragraph among `amount.units` others; the index alone decides which question is asked."""
        asked, paragraphs = _read(self.path)
        generator = request.generator()
        depth = generator.random()
        chosen = random.Random(request.index).choice(asked)
        near = [paragraph for paragraph in chosen.article if paragraph != chosen.paragraph]
        far = [paragraph for paragraph in paragraphs if paragraph not in chosen.article]
        others = [*generator.sample(near, len(near)), *generator.sample(far, len(far))]
        pieces = filler(lambda i: others[i] if i < len(others) else None, amount)
        if pieces is None:
            return None
        where = int(depth * (len(pieces) + 1))
        documents = [*pieces[:where], chosen.paragraph, *pieces[where:]]
        return Draft(about(documents, chosen.question, (where,)), chosen.answers, AnyOf())


def about(documents: Sequence[str], question: str, needles: tuple[int, ...]) -> Prompt:
    """Return the prompt that asks a question about numbered documents.

    Arguments:
        needles: numbers of the documents that answer it, from 0.
    """
    context = tuple(f"Document {i + 1}:\n{text}\n\n" for i, text in enumerate(documents))
    return Prompt(BEFORE, context, QUESTION.format(question=question), needles)


@contextmanager
def reading(path: str, form: str) -> Iterator[None]:
    """Report what is wrong with a file of questions in one line.

    Arguments:
        form: the format that it must have, as in "SQuAD's format".

    Errors: InputError where no file is given, for a file that cannot be read, and for one of another format.
    """
    if not path:
        raise InputError(f"no file of questions is given: set path to a file in {form}, as in path='questions.json'")
    try:
        yield
    except OSError as error:
        problem = f"cannot read the questions in {path!r}: {error.strerror}"
        raise InputError(f"{problem}; set path to a file in {form}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path!r} is no file in {form}: {type(error).__name__} at {error}") from None


@remember_file(4)
def _read(path: str) -> tuple[tuple[Asked, ...], tuple[str, ...]]:
    """The questions that have an answer, and all different paragraphs, in the file's order.

    Errors: InputError for a file that cannot be read, has another format or no questions.
    """
    with reading(path, "SQuAD's format"):
        articles = json.loads(Path(path).read_text(encoding="utf-8"))["data"]
        asked = tuple(
            Asked(
                found["question"].strip(),
                tuple(dict.fromkeys(answer["text"] for answer in found["answers"])),
                paragraph["context"],
                tuple(other["context"] for other in article["paragraphs"]),
            )
            for article in articles
            for paragraph in article["paragraphs"]
            for found in paragraph["qas"]
            if not found.get("is_impossible", False)
        )
        paragraphs = tuple(dict.fromkeys(p["context"] for article in articles for p in article["paragraphs"]))
    if not asked:
        raise InputError(f"{path!r} has no question with an answer: give another file")
    return asked, paragraphs
