"""Completions without log-probabilities: the server writes on at temperature 0, and its choices are compared.

A token that was chosen is the most likely one. How far it is from the most likely one under a hypothesis speaks
against that hypothesis. This tells much less than a log-probability does, and every server can do it
(`transformers serve` ignores `logprobs` and `echo`).
"""

from collections.abc import Sequence

from longspan.audit.blackbox.answer import Answer
from longspan.audit.blackbox.dialect import Dialect, UnansweredError
from longspan.audit.blackbox.next_token import parts

WRITTEN = 32
"""Tokens that the server writes in each place: they cost it little beside reading the text."""
PLACES = 3
"""Places of a text at which it writes on, from its middle to its end."""


class Greedy(Dialect):
    """`max_tokens: 32, temperature: 0`; the prompt is text, which every server takes."""

    name = "greedy continuations"
    rank = 4

    def prompts(self, ids: Sequence[int]) -> Sequence[Sequence[int]]:
        """Return first parts of the text."""
        return parts(ids, len(ids) // 2, PLACES, self.vocabulary)

    def answer(self, ids: Sequence[int]) -> Answer:
        """Return the tokens that the server writes after the whole prompt."""
        reply = self.complete(prompt=self.vocabulary.text(ids), max_tokens=WRITTEN, temperature=0)
        try:
            written = str(reply["choices"][0]["text"])
        except (LookupError, TypeError) as error:
            raise UnansweredError("no text in the reply") from error
        tokens = self.vocabulary.continuation(ids, written)[:WRITTEN]
        if not tokens:
            raise UnansweredError("the server writes nothing")
        positions = tuple(range(len(ids), len(ids) + len(tokens)))
        return Answer(positions, tokens, (0.0,) * len(tokens), tokens, chosen=True)
