"""Answer: what a server says about the tokens of one request, and the `Server` that says it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Protocol, runtime_checkable

from longspan.errors import InputError

LOWEST = -9999.0
"""Nats of a token whose probability is too small for the server's precision, as in OpenAI's API: "very unlikely"."""


@dataclass(frozen=True)
class Answer:
    """Natural logs of p(token | the tokens before its position), one for each position and token.

    Arguments:
        positions: index of each token in the request; tokens that follow it count on.
        tokens: the ids of the tokens.
        values: nats, at most 0 and at least `LOWEST`, in place of minus infinity; NaN for a token that the server gives
            no number for, as for one that it dropped.
        continuation: the tokens that the server wrote after the request, which are read before later ones.
        chosen: whether nothing but the choice of each token is known: its value is then ln p(token) − ln p(the most
            likely token), 0 for a greedy choice.

    Errors: InputError where the lists differ in length, or a value is above 0.
    """

    positions: tuple[int, ...]
    tokens: tuple[int, ...]
    values: tuple[float, ...]
    continuation: tuple[int, ...] = ()
    chosen: bool = False

    def __post_init__(self) -> None:
        if not len(self.positions) == len(self.tokens) == len(self.values):
            raise InputError(
                f"an answer has one token and one value per position, got {len(self.positions)} positions, "
                f"{len(self.tokens)} tokens and {len(self.values)} values"
            )
        largest = max((value for value in self.values if not isnan(value)), default=0.0)
        if largest > 1e-3:
            raise InputError(f"a log-probability is at most 0, got {largest:g}: the server gives something else")
        object.__setattr__(self, "values", tuple(LOWEST if value < LOWEST else value for value in self.values))


@runtime_checkable
class Server(Protocol):
    """Whatever reads token ids and gives log-probabilities."""

    def prompts(self, ids: Sequence[int]) -> Sequence[Sequence[int]]:
        """Return the requests to make about one text: the text, or first parts of it."""
        ...

    def answer(self, ids: Sequence[int]) -> Answer:
        """Return the log-probabilities of one request.

        Errors: InputError where the server gives none.
        """
        ...


def echoed(ids: Sequence[int], values: Sequence[float | None]) -> Answer:
    """Return the answer that gives each sent token its log-probability; None means that there is none.

    The first token is left out: nothing comes before it. So is the second one where only these two have none: a server
    that hides the opening (llama-cpp-python) takes the second for the first.

    Errors: InputError where there are fewer or more values than tokens.
    """
    if len(values) != len(ids):
        raise InputError(f"one log-probability per token is needed: sent {len(ids)} tokens, got {len(values)} values")
    start = 2 if len(values) > 2 and values[1] is None and values[2] is not None else 1
    found = tuple(nan if value is None else float(value) for value in values[start:])
    return Answer(tuple(range(start, len(ids))), tuple(ids[start:]), found)
