"""OpenAI's completions with `echo`: the prompt comes back with a log-probability for every token.

Token ids are sent; a server that takes text only is sent the text.

A server may read its log-probabilities one row late: the entry of a token then holds the distribution of the token
after it. llama-cpp-python does so for every model whose tokenizer puts no BOS before a text. Whether a server does is
found out by changing the last token of a prompt, which must not change the distribution that this token came from.

Source: OpenAI's API reference, "Create completion"; vLLM, SGLang and llama-cpp-python serve it. Late rows:
abetlen/llama-cpp-python#1983, and `Llama._create_completion` of 0.3.36.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longspan.audit.blackbox.answer import Answer, echoed
from longspan.audit.blackbox.dialect import Dialect, UnansweredError, placed

if TYPE_CHECKING:
    from longspan.audit.blackbox.http import Connection
    from longspan.audit.blackbox.vocabulary import Vocabulary

SAME = 0.02
"""Nats within which two log-probabilities are the same but for rounding."""


@dataclass(frozen=True)
class Entry:
    """What a reply says about one token.

    Arguments:
        piece: its text.
        value: its log-probability, nats; None where there is none.
        likely: log-probabilities by text: of the most likely token, and of this one.
    """

    piece: str
    value: float | None
    likely: Mapping[str, float]


class Echo(Dialect):
    """`echo: true, logprobs: 1`."""

    name = "completions with echo"
    rank = 0

    def __init__(self, connection: "Connection", vocabulary: "Vocabulary", model: str | None) -> None:
        super().__init__(connection, vocabulary, model)
        self._late: bool | None = None

    def answer(self, ids: Sequence[int]) -> Answer:
        """Send ids, and text where ids are refused."""
        try:
            return self._ask(ids, list)
        except UnansweredError as refused:
            try:
                return self._ask(ids, self.vocabulary.text)
            except UnansweredError:
                raise refused from None

    def _ask(self, ids: Sequence[int], written: Callable[[Sequence[int]], list[int] | str]) -> Answer:
        prompt = written(ids)
        reply = self._reply(prompt)
        entries = _entries(reply)
        if sum(entry.value is not None for entry in entries) < 2:
            raise UnansweredError("the prompt does not come back: `echo` is ignored")
        if self._late is None:
            self._late = self._is_late(ids, written)
        if self._late:
            return self._after(ids, entries)
        entries = entries[: len(entries) - _generated(reply)]
        values = [entry.value for entry in entries]
        if isinstance(prompt, list) and len(values) == len(ids):
            return echoed(ids, values)
        return echoed(ids, placed(ids, self._read(entries), values))

    def _after(self, ids: Sequence[int], entries: Sequence[Entry]) -> Answer:
        """Return the most likely token after each sent one, from entries that hold the row after their token."""
        entries = entries[: len(ids)]
        found = placed(ids, self._read(entries), entries)
        positions, tokens, values = [], [], []
        for index, entry in enumerate(found):
            follows_gap = index + 1 < len(found) and found[index + 1] is None
            if entry is None or entry.value is None or follows_gap:
                continue
            piece, value = max(entry.likely.items(), key=lambda item: item[1])
            if (token := self.vocabulary.id_of(piece)) is not None:
                positions.append(index + 1)
                tokens.append(token)
                values.append(float(value))
        return Answer(tuple(positions), tuple(tokens), tuple(values))

    def _read(self, entries: Sequence[Entry]) -> list[int | None]:
        return [self.vocabulary.id_of(entry.piece) for entry in entries]

    def _reply(self, prompt: list[int] | str) -> Any:
        return self.complete(prompt=prompt, max_tokens=1, echo=True, logprobs=1, temperature=0)

    def _is_late(self, ids: Sequence[int], written: Callable[[Sequence[int]], list[int] | str]) -> bool:
        """Whether the entry of a prompt's last token holds another distribution where that token is another one."""
        begin = len(self.vocabulary.opening) + 2
        first = list(ids[:begin])
        likely: list[float] = []
        for token in list(dict.fromkeys(token for token in ids[begin:] if token not in first))[:3]:
            entries = _entries(self._reply(written([*first, token])))
            piece = self.vocabulary.piece(token)
            likely += [max(each.likely.values()) for each in entries[1:] if each.piece == piece and each.likely][:1]
        return len(likely) > 1 and max(likely) - min(likely) > SAME


def _entries(reply: Any) -> list[Entry]:
    try:
        found = reply["choices"][0]["logprobs"]
        values, pieces = list(found["token_logprobs"]), [str(piece) for piece in found["tokens"]]
        likely = found.get("top_logprobs") or [None] * len(values)
        known = [{piece: value for piece, value in (top or {}).items() if value is not None} for top in likely]
        return [Entry(piece, value, top) for piece, value, top in zip(pieces, values, known, strict=True)]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UnansweredError("no token_logprobs in the reply") from error


def _generated(reply: Any) -> int:
    """How many tokens of the reply were generated; one was asked for."""
    usage = reply.get("usage") or {}
    count = usage.get("completion_tokens")
    return 1 if count is None else int(count)
