"""Segmentations of a text into pieces: the best one, and exact samples of all.

A piece x has a score s(x) = log p(x). A segmentation of a text has the sum of its pieces' scores, and

    P(segmentation) = exp(α · score) / Z          Z: the sum over all segmentations
    α = 1    the unigram model itself             α = 0    all segmentations equally often        α → ∞    the best one

The exact sampler walks once over the text. At the end e of a piece that begins at b it has seen the weight Z[e] of all
ways that end there, and takes the new way with the share that it has of them:

    w = α · s + Z[b]        Z[e] = log(exp Z[e] + exp w)        route[e] = b  with probability exp(w − Z[e])

so that at the end P(route[e] = b) = exp(α s + Z[b] − Z[e]), whatever the order of the pieces (reservoir sampling).
`sample_viterbi` compares only the best way so far with each new one. It is biased: of three equal ways it takes the
last one half of the time. It is here as the negative control of the tests.

Source: Su 2023, kexue.fm/archives/9768 (sampling by Viterbi, biased) and 9811 (exact); Kudo 2018, "Subword
Regularization", arXiv:1804.10959, whose law over the full lattice is the same one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import exp, inf, log1p
from random import Random

from longspan.errors import InputError, shown


@dataclass(frozen=True)
class Lattice:
    """All pieces of a unigram model.

    Arguments:
        scores: log-probabilities of pieces.
    """

    scores: Mapping[str, float]

    @property
    def longest(self) -> int:
        """Characters of the longest piece."""
        return max(map(len, self.scores))

    def best(self, text: str) -> list[str]:
        """Return the segmentation of the highest score.

        >>> Lattice({"a": -1.0, "b": -1.0, "ab": -1.5}).best("abb")
        ['ab', 'b']

        Errors: InputError for a text that the pieces cannot make.
        """
        found, route = self._start(text)
        for begin, end, score in self._pieces(text):
            if found[begin] + score > found[end]:
                found[end], route[end] = found[begin] + score, begin
        return self._walked(text, found, route)

    def sample(self, text: str, generator: Random, alpha: float = 1.0) -> list[str]:
        """Return a segmentation with the probability that it has.

        Arguments:
            alpha: α, how much scores matter; at least 0.

        Errors: InputError for a text that the pieces cannot make, and for a negative α.
        """
        if not alpha >= 0:
            raise InputError(f"alpha must be at least 0, got {alpha}")
        total, route = self._start(text)
        for begin, end, score in self._pieces(text):
            weight = alpha * score + total[begin]
            if weight == -inf:
                continue
            total[end] = _log_sum(total[end], weight)
            if route[end] < 0 or generator.random() < exp(weight - total[end]):
                route[end] = begin
        return self._walked(text, total, route)

    def sample_viterbi(self, text: str, generator: Random, alpha: float = 1.0) -> list[str]:
        """Return a segmentation as the older sampler does, whose frequencies are not those of the model."""
        found, route = self._start(text)
        for begin, end, score in self._pieces(text):
            new = found[begin] + score
            if new == -inf:
                continue
            takes = route[end] < 0 or generator.random() < 1 / (1 + exp(min(700.0, alpha * (found[end] - new))))
            if takes:
                found[end], route[end] = new, begin
        return self._walked(text, found, route)

    def log_total(self, text: str, alpha: float = 1.0) -> float:
        """Return log Z of a text; −inf where the pieces cannot make it."""
        total, _ = self._start(text)
        for begin, end, score in self._pieces(text):
            total[end] = _log_sum(total[end], alpha * score + total[begin])
        return total[-1]

    def _start(self, text: str) -> tuple[list[float], list[int]]:
        return [0.0, *[-inf] * len(text)], [0, *[-1] * len(text)]

    def _pieces(self, text: str) -> Iterator[tuple[int, int, float]]:
        """Begin, end and score of every piece in a text, ordered by their ends."""
        longest = self.longest
        for end in range(1, len(text) + 1):
            for begin in range(max(0, end - longest), end):
                if (score := self.scores.get(text[begin:end])) is not None:
                    yield begin, end, score

    def _walked(self, text: str, found: list[float], route: list[int]) -> list[str]:
        """Return the pieces of the way that a route keeps, from the last one back."""
        if found[-1] == -inf:
            raise InputError(f"no pieces make the text {shown(text)}: the model lacks a character of it")
        pieces, end = list[str](), len(text)
        while end:
            pieces.append(text[route[end] : end])
            end = route[end]
        return pieces[::-1]


def _log_sum(first: float, second: float) -> float:
    """Return log(exp first + exp second); of two −inf, −inf."""
    high, low = max(first, second), min(first, second)
    return high if low == -inf else high + log1p(exp(low - high))
