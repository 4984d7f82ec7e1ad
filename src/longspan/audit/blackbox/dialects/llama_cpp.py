"""llama.cpp's own server: `/completion` with `n_probs`.

Source: github.com/ggml-org/llama.cpp, tools/server/README.md, "POST /completion": log-probabilities before sampling,
in `completion_probabilities` with ids.
"""

from collections.abc import Sequence

from longspan.audit.blackbox.dialect import UnansweredError
from longspan.audit.blackbox.next_token import TOP, NextToken


class LlamaCpp(NextToken):
    """`n_predict: 1, n_probs: 10`, token ids as the prompt."""

    name = "llama.cpp's /completion"
    rank = 2

    def likely(self, ids: Sequence[int]) -> dict[int, float]:
        """Return the top log-probabilities of the one generated token."""
        body = {
            "prompt": list(ids),
            "n_predict": 1,
            "n_probs": TOP,
            "temperature": 0.0,
            "cache_prompt": True,
            "post_sampling_probs": False,
        }
        reply = self.connection.post("/completion", body)
        try:
            entry = reply["completion_probabilities"][0]
            found = {int(each["id"]): float(each["logprob"]) for each in entry["top_logprobs"]}
        except (LookupError, TypeError, ValueError) as error:
            raise UnansweredError("no completion_probabilities in the reply") from error
        return found
