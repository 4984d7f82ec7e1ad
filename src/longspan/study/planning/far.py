"""Far facts: which documents hold facts farther back than the trained length, known before anything is measured.

A short text holds facts at few depths, which are drawn at random, so that all of them may be near. Such a document says
nothing of far facts: it is no document of which none were found.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from longspan.errors import InputError
from longspan.measure.corpus.documents import Document
from longspan.measure.kinds.reading import Reading
from longspan.study.planning.plan import StudyPlan
from longspan.study.planning.subject import Subject


def with_far_facts(
    subject: Subject, documents: Sequence[Document], tokenizer: Any, opening: Sequence[int]
) -> tuple[Document, ...]:
    """Return the documents of which at least one fact is far, in their order.

    Arguments:
        opening: the special tokens that the tokenizer puts before every text.
    """
    asked = [subject.ask(Reading, document) for document in documents]
    return tuple(
        each.document
        for each in asked
        if any(each.is_far(question.distance) for question in each.text(tokenizer, opening).questions)
    )


def require_far_facts(
    subject: Subject, documents: Sequence[Document], tokenizer: Any, opening: Sequence[int]
) -> tuple[Document, ...]:
    """Return the documents of which at least one fact is far, in their order.

    Errors: InputError where there are none.
    """
    found = with_far_facts(subject, documents, tokenizer, opening)
    if not found:
        raise InputError(
            f"--to {subject.length} is too short: no fact in these texts lies farther back than the "
            f"{subject.trained_length} tokens that the model was trained on, so that no method can show what it finds "
            f"there; give a longer one, such as --to {2 * subject.trained_length}"
        )
    return found


def race_on_far_facts(plan: StudyPlan, tokenizer: Any, opening: Sequence[int]) -> StudyPlan:
    """Return the plan with a race on the documents that hold far facts; without any, on all of them, by their losses.

    So candidates are never ranked by costs with facts of some documents and without them of others.
    """
    subject = replace(plan.subject, length=plan.race_length)
    far = with_far_facts(subject, plan.race, tokenizer, opening)
    return replace(plan, race=far) if far else plan
