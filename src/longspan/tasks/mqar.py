"""Multi-query associative recall: pairs of a key and a value, then keys again, each to be followed by its value.

    key value key value … filler key filler key …

A model must recall, at every repeated key, the token that came after it before. Gaps follow a power law: most keys
return soon after the pairs, a few much later. One layer of attention does not suffice, two do.
Chance is 1 in the number of values, half the vocabulary.

Source: Arora et al. 2023, Zoology, arXiv:2312.04927; HazyResearch/zoology, zoology/data/multiquery_ar.py.
Differs: fillers are never keys of the sequence, which would ask for a value that has no place to be predicted; every
example has its own random numbers; the number of pairs grows with the length, unless it is set.
"""

from dataclasses import dataclass
from math import log

from longspan.errors import InputError
from longspan.prompts.sequence import SequenceExample, SequenceTask
from longspan.task import Material


@dataclass(frozen=True)
class MultiQueryRecall(SequenceTask):
    """Zoology's MQAR.

    Arguments:
        vocabulary: token ids are 0 … vocabulary − 1; keys are of its lower half without 0, values of its upper half.
        tokens_per_pair: there is one pair for so many tokens, at least 4; Zoology trains on 16 and less.
        power: exponent a of the law of gaps, p ∝ gap^(a − 1); −10 … 10. All gaps are equally likely at 1.
        pairs: so many at every length; None for one for `tokens_per_pair`.
    """

    vocabulary: int = 8192
    tokens_per_pair: int = 16
    power: float = 0.01
    pairs: int | None = None

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        for name in ("vocabulary", "tokens_per_pair"):
            self.require(getattr(self, name) >= 4, name, "at least 4")
        self.require(self.pairs is None or self.pairs >= 1, "pairs", "None or at least 1")
        self.require_between(-10, 10, "power")

    def tokens(self, length: int) -> int:
        """Return the vocabulary."""
        return self.vocabulary

    def example(self, material: Material, length: int, index: str) -> SequenceExample:
        """Make one sequence of `length` tokens, or one fewer where that is odd.

        Errors: InputError where pairs and their keys do not fit, or the vocabulary has too few of them.
        """
        generator = self.generator(length, index)
        pairs, first_value = self.pairs or length // self.tokens_per_pair, self.vocabulary // 2
        if not 1 <= pairs <= length // 4 or pairs >= first_value:
            raise InputError(
                f"{self.seed(length, index)}: {length} tokens and {pairs} pairs, possible are "
                f"1 … {min(length // 4, first_value - 1)}: change length, vocabulary, tokens_per_pair or pairs"
            )
        keys = generator.sample(range(1, first_value), pairs)
        values = generator.sample(range(first_value, self.vocabulary), pairs)
        context = [token for pair in zip(keys, values, strict=True) for token in pair]
        slots = length // 2 - pairs
        # Weighted sampling without replacement: the largest of ln(u) / p (Efraimidis & Spirakis 2006).
        rank = [log(1 - generator.random()) / (gap + 1) ** (self.power - 1) for gap in range(slots)]
        gaps = sorted(range(slots), key=lambda gap: -rank[gap])[:pairs]
        generator.shuffle(gaps)
        used = set(keys)
        tail = list[int]()
        while len(tail) < 2 * slots:
            token = generator.randrange(self.vocabulary)
            tail += [token] * (token not in used)
        targets = dict[int, int]()
        for key, value, gap in zip(keys, values, gaps, strict=True):
            tail[2 * gap] = key
            targets[len(context) + 2 * gap] = value
        return SequenceExample((*context, *tail), dict(sorted(targets.items())), len(context))
