"""How well a task's answers are predicted, by the number of symbols.

A model that is given the right answer up to each of its symbols, and predicts every one of them and the end, is one
that writes the whole answer rightly by itself: both are the same event. So one pass gives both numbers that are
reported, the share of symbols (Ruoss et al.) and the share of whole answers (Kazemnejad et al.).

Of short lists there are few: a prompt that is drawn again is not asked again, since its answer would say nothing new.

Source: Ruoss et al. 2023, arXiv:2305.16843; Kazemnejad et al. 2023, arXiv:2305.19466.
"""

from collections.abc import Sequence

from longspan.train.data.tasks.task_rows import TaskRows
from longspan.train.exams.exam import ALL, Exam, Question
from longspan.train.settings import Settings


class TaskAnswers(Exam):
    """Answers of a task.

    Arguments:
        settings: of the run.
        rows: of the task.
    """

    def __init__(self, settings: Settings, rows: TaskRows) -> None:
        super().__init__(settings)
        self.rows = rows

    def question(self, length: int, index: int) -> Question:
        """Return a test example of `length` symbols."""
        batch = self.rows.test(length, index)
        return Question(batch, {ALL: batch.asked})

    def indices(self, length: int) -> Sequence[int]:
        """Return the test examples of a length that differ from each other, by index."""
        found: dict[tuple[int, ...], int] = {}
        for index in range(self.settings.test.docs):
            found.setdefault(tuple(self.rows.test(length, index).inputs[0].tolist()), index)
        return tuple(found.values())
