"""Questions from a file in HotpotQA's format, whose answer takes two paragraphs among others.

A model must find the paragraph that leads to another one, and in that one the answer. All paragraphs that the file has
for a question are there, most of them about similar subjects, and others around them. The score is 1 where the output
contains the answer. Some answers are "yes" or "no", and many can be had from memory: compare with the question alone.

Source: Yang et al. 2018, HotpotQA, arXiv:1809.09600 (the distractor setting); Hsieh et al. 2024, RULER,
arXiv:2404.06654 (qa_2); NVIDIA/RULER, scripts/data/synthetic/qa.py.
Differs: any file of this format; prompts of all lengths ask the same questions; a part of one more paragraph comes
last, so that prompts come within 3 % of the wanted length; the order is drawn for each example.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path

from longspan.errors import InputError
from longspan.memo import remember_file
from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount, filler
from longspan.prompts.needles import insert
from longspan.prompts.scoring import AnyOf
from longspan.prompts.task import PromptTask, Request
from longspan.tasks.qa import about, reading


@dataclass(frozen=True)
class Asked:
    """A question of the file.

    Arguments:
        question: the question.
        answer: the accepted answer.
        paragraphs: what the file has for it, each a title and a text.
        supporting: the numbers of those that answer it.
    """

    question: str
    answer: str
    paragraphs: tuple[str, ...]
    supporting: tuple[int, ...]


@dataclass(frozen=True)
class Qa2(PromptTask):
    """RULER's qa_2 for any file.

    Arguments:
        path: a JSON file in HotpotQA's format, with ten paragraphs for each question.
    """

    generated = 32

    path: str = ""

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Put a question's paragraphs among `amount.units` others; the index alone decides which one is asked."""
        asked, paragraphs = _read(self.path)
        generator = request.generator()
        chosen = random.Random(request.index).choice(asked)
        depths = [generator.random() for _ in chosen.paragraphs]
        far = [paragraph for paragraph in paragraphs if paragraph not in chosen.paragraphs]
        others = generator.sample(far, len(far))
        pieces = filler(lambda i: others[i] if i < len(others) else None, amount)
        if pieces is None:
            return None
        documents, where = insert(pieces, chosen.paragraphs, depths)
        needles = tuple(sorted(where[i] for i in chosen.supporting))
        return Draft(about(documents, chosen.question, needles), (chosen.answer,), AnyOf())


@remember_file(4)
def _read(path: str) -> tuple[tuple[Asked, ...], tuple[str, ...]]:
    """The questions, and all different paragraphs, in the file's order.

    Errors: InputError for a file that cannot be read, has another format or no questions.
    """
    with reading(path, "HotpotQA's format"):
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        asked = tuple(
            Asked(
                each["question"].strip(),
                each["answer"],
                tuple(f"{title}\n{''.join(sentences)}" for title, sentences in each["context"]),
                _numbers([title for title, _ in each["context"]], {title for title, _ in each["supporting_facts"]}),
            )
            for each in found
        )
    if not asked:
        raise InputError(f"{path!r} has no question: give another file")
    return asked, tuple(dict.fromkeys(paragraph for each in asked for paragraph in each.paragraphs))


def _numbers(titles: list[str], named: set[str]) -> tuple[int, ...]:
    """Where the named titles are."""
    return tuple(i for i, title in enumerate(titles) if title in named)
