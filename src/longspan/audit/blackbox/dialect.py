"""Dialect: one way in which servers give log-probabilities; each file of the folder `dialects` defines one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from longspan.audit.blackbox.answer import Answer
from longspan.errors import LongspanError, RefusalError

if TYPE_CHECKING:
    from longspan.audit.blackbox.http import Connection
    from longspan.audit.blackbox.vocabulary import Vocabulary


class UnansweredError(LongspanError):
    """A server does not give log-probabilities in this dialect."""


class Dialect(ABC):
    """One way to ask for log-probabilities.

    Arguments:
        connection: the server.
        vocabulary: of the local tokenizer.
        model: the name that the server knows the model by; None to name none, which servers of one model allow.
    """

    name: ClassVar[str]
    rank: ClassVar[int]
    """Dialects are tried in this order: those that give most numbers per request first."""

    def __init__(self, connection: "Connection", vocabulary: "Vocabulary", model: str | None) -> None:
        self.connection, self.vocabulary, self.model = connection, vocabulary, model

    def complete(self, **fields: Any) -> Any:
        """Return what `/v1/completions` says; errors as of `Connection.post`."""
        named = {} if self.model is None else {"model": self.model}
        return self.connection.post("/v1/completions", {**named, **fields})

    def prompts(self, ids: Sequence[int]) -> Sequence[Sequence[int]]:
        """Return the requests to make about one text: the text, where its own tokens come back."""
        return [ids]

    @abstractmethod
    def answer(self, ids: Sequence[int]) -> Answer:
        """Return the log-probabilities of one request.

        Errors: UnansweredError where the server does not give them in this dialect.
        """


_Value = TypeVar("_Value")


def placed(ids: Sequence[int], tokens: Sequence[int | None], values: Sequence[_Value | None]) -> list[_Value | None]:
    """Return one value per sent token, from what a server says about the tokens that it read.

    A server may put an opening before the tokens, and may drop the start, the end or the middle of them.

    Arguments:
        ids: the tokens that were sent.
        tokens: those that the server says it read; None for one that is not known.
        values: what it says about each of them.

    Errors: RefusalError where the read tokens are not the sent ones nor a part of them.
    """
    read, sent = len(tokens), len(ids)
    if read >= sent:
        extra = read - sent  # openings that the server added
        if _agree(ids, tokens[extra:]):
            return list(values[extra:])
    else:
        front = next((i for i in range(read) if not _agree(ids[i : i + 1], tokens[i : i + 1])), read)
        for kept in sorted({front, 0}, reverse=True):
            back = read - kept
            if _agree(ids[sent - back :], tokens[kept:]):
                return [*values[:kept], *[None] * (sent - read), *values[kept:]]
    raise RefusalError(
        f"the server read {read} tokens that are not the {sent} sent ones: its tokenizer is not the local model's; "
        "give the model that it runs"
    )


def _agree(ids: Sequence[int], tokens: Sequence[int | None]) -> bool:
    """Whether nine of ten known tokens are the sent ones; texts of single tokens are not always unique."""
    known = [(one, other) for one, other in zip(ids, tokens, strict=True) if other is not None]
    return 10 * sum(one == other for one, other in known) >= 9 * len(known)
