"""A prompt: instructions, a context of pieces, and a question; and the same prompt without what answers it."""

import random
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Prompt:
    """What a model reads before it answers.

    Arguments:
        before: the instructions.
        context: the pieces of the context in their order, each with the white space that follows it.
        question: what follows the context, up to where the answer begins.
        needles: indices of the pieces that the answer is found in; empty where it depends on all.
    """

    before: str
    context: tuple[str, ...]
    question: str
    needles: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The whole prompt; white space at the context's end is left out."""
        return self.before + "".join(self.context).rstrip() + self.question

    def up_to(self, piece: int) -> str:
        """Return the prompt's text before a piece."""
        return self.before + "".join(self.context[:piece])

    def question_alone(self) -> "Prompt":
        """Return the prompt without its context: what a model answers from habit or from leaks in the question."""
        return replace(self, context=(), needles=())

    def without_needles(self) -> "Prompt":
        """Return the prompt without its needles: a right answer can only be a guess."""
        kept = tuple(piece for i, piece in enumerate(self.context) if i not in self.needles)
        return replace(self, context=kept, needles=())

    def shuffled(self, seed: str) -> "Prompt":
        """Return the prompt with its pieces in another order: what the order contributes."""
        order = random.Random(seed).sample(range(len(self.context)), len(self.context))
        needles = tuple(order.index(needle) for needle in self.needles)
        return replace(self, context=tuple(self.context[i] for i in order), needles=needles)
