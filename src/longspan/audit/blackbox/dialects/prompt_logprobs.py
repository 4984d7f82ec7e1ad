"""vLLM's own `prompt_logprobs`: one dictionary by token id for each token of the prompt.

Source: github.com/vllm-project/vllm, vllm/entrypoints/openai, `CompletionRequest.prompt_logprobs`.
"""

from collections.abc import Sequence

from longspan.audit.blackbox.answer import Answer, echoed
from longspan.audit.blackbox.dialect import Dialect, UnansweredError, placed


class PromptLogprobs(Dialect):
    """`prompt_logprobs: 0` gives the prompt's tokens and no others."""

    name = "vLLM's prompt_logprobs"
    rank = 1

    def answer(self, ids: Sequence[int]) -> Answer:
        """Send ids."""
        reply = self.complete(prompt=list(ids), max_tokens=1, prompt_logprobs=0, temperature=0)
        try:
            choice = reply["choices"][0]
            given = choice.get("prompt_logprobs", reply.get("prompt_logprobs"))
            entries = [entry or {} for entry in given]
        except (LookupError, TypeError, AttributeError) as error:
            raise UnansweredError("no prompt_logprobs in the reply") from error
        extra = max(0, len(entries) - len(ids))
        tokens: list[int | None] = []
        values: list[float | None] = []
        for place, entry in enumerate(entries):
            sent = ids[place - extra] if len(entries) >= len(ids) and place >= extra else None
            token = sent if str(sent) in entry or not entry else int(next(iter(entry)))
            tokens.append(token)
            values.append(entry[str(token)]["logprob"] if entry and str(token) in entry else None)
        if len(values) < 2 or all(value is None for value in values):
            raise UnansweredError("prompt_logprobs are empty")
        return echoed(ids, placed(ids, tokens, values))
