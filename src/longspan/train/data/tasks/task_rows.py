"""Rows of a task, for training and for tests; no row is both."""

from abc import abstractmethod

from longspan.train.data.batch import Batch, Reading


class TaskRows(Reading):
    """Rows of a task, whose length is counted in the symbols or tokens of its examples."""

    @abstractmethod
    def check(self) -> None:
        """Refuse rows that cannot be trained on.

        Errors: InputError.
        """

    @abstractmethod
    def test(self, length: int, index: int) -> Batch:
        """Return one row of the tests.

        Errors: InputError where there is none of this length.
        """
