"""OpenAI's completions without `echo`: the most likely next tokens after the prompt.

Both forms of the reply are read: `top_logprobs` by text (OpenAI, llama-cpp-python, vLLM), and `content` with ids
(llama.cpp's server).
"""

from collections.abc import Sequence
from typing import Any

from longspan.audit.blackbox.dialect import UnansweredError
from longspan.audit.blackbox.next_token import NextToken

TOP = 5
"""OpenAI's limit."""


class TopLogprobs(NextToken):
    """`max_tokens: 1, logprobs: 5`; token ids, and text where ids are refused."""

    name = "completions with top_logprobs"
    rank = 3

    def likely(self, ids: Sequence[int]) -> dict[int, float]:
        """Return the top log-probabilities of the one generated token."""
        try:
            reply = self._ask(list(ids))
        except UnansweredError:
            reply = self._ask(self.vocabulary.text(ids))
        try:
            found = reply["choices"][0]["logprobs"]
            if "content" in found:
                top = found["content"][0]["top_logprobs"]
                each = [(entry.get("id"), entry["token"], entry["logprob"]) for entry in top]
            else:
                each = [(None, piece, value) for piece, value in found["top_logprobs"][0].items()]
        except (LookupError, TypeError, AttributeError) as error:
            raise UnansweredError("no top_logprobs in the reply") from error
        known = {self.vocabulary.id_of(piece) if token is None else int(token): value for token, piece, value in each}
        return {token: float(value) for token, value in known.items() if token is not None and value is not None}

    def _ask(self, prompt: list[int] | str) -> Any:
        return self.complete(prompt=prompt, max_tokens=1, logprobs=TOP, temperature=0)
