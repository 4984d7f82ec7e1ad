"""From settings to the exam of a trained model; texts with next tokens have none, `longspan measure` reads them."""

from pathlib import Path
from typing import Any

from longspan.plan import Plan
from longspan.train.data.choosing import hiding_of, sees_both_directions, task_rows_of
from longspan.train.data.texts import prepared
from longspan.train.exams.exam import Exam
from longspan.train.exams.hidden_tokens import HiddenTokens
from longspan.train.exams.task_answers import TaskAnswers
from longspan.train.settings import Settings


def exam_of(settings: Settings, tokenizer: Any, plan: Plan, layers: int, folder: Path) -> Exam | None:
    """Return the exam of a run; None where its texts are measured as any model's, or not at all.

    Arguments:
        plan: of the model, without open fields.
        layers: of the model.
        folder: of the run.

    Errors: InputError where the test texts are too short.
    """
    if settings.data.task is not None:
        return TaskAnswers(settings, task_rows_of(settings, tokenizer, both=sees_both_directions(plan, layers)))
    if settings.training.objective == "next" or not settings.data.test:
        return None
    texts = prepared(settings.data.test, tokenizer, folder / "texts-test")
    return HiddenTokens(settings, texts, hiding_of(tokenizer, settings.training.hidden))
