"""OpenAI's completions with `echo`: the prompt comes back with a log-probability for every token.

Token ids are sent; a server that takes text only is sent the text.

Source: OpenAI's API reference, "Create completion"; vLLM, SGLang and llama-cpp-python serve it.
"""

from collections.abc import Sequence
from typing import Any

from longspan.audit.blackbox.answer import Answer, echoed
from longspan.audit.blackbox.dialect import Dialect, UnansweredError, placed


class Echo(Dialect):
    """`echo: true, logprobs: 1`."""

    name = "completions with echo"
    rank = 0

    def answer(self, ids: Sequence[int]) -> Answer:
        """Send ids, and text where ids are refused."""
        try:
            return self._ask(ids, list(ids))
        except UnansweredError as refused:
            try:
                return self._ask(ids, self.vocabulary.text(ids))
            except UnansweredError:
                raise refused from None

    def _ask(self, ids: Sequence[int], prompt: list[int] | str) -> Answer:
        reply = self.complete(prompt=prompt, max_tokens=1, echo=True, logprobs=1, temperature=0)
        try:
            found = reply["choices"][0]["logprobs"]
            values, pieces = list(found["token_logprobs"]), list(found["tokens"])
        except (LookupError, TypeError) as error:
            raise UnansweredError("no token_logprobs in the reply") from error
        generated = _generated(reply)
        values, pieces = values[: len(values) - generated], pieces[: len(pieces) - generated]
        if len(values) < 2 or all(value is None for value in values):
            raise UnansweredError("the prompt does not come back: `echo` is ignored")
        if isinstance(prompt, list) and len(values) == len(ids):
            return echoed(ids, values)
        return echoed(ids, placed(ids, [self.vocabulary.id_of(str(piece)) for piece in pieces], values))


def _generated(reply: Any) -> int:
    """How many tokens of the reply were generated; one was asked for."""
    usage = reply.get("usage") or {}
    return int(usage.get("completion_tokens", 1))
