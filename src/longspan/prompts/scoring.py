"""Score what a model wrote against the accepted references: 0 … 1.

`AllOf` and `AnyOf` are RULER's `string_match_all` and `string_match_part`: a reference counts as found where the output
contains it, whatever the case. So "2345678" is found in "12345678"; references of one length avoid that.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654; NVIDIA/RULER, scripts/eval/synthetic/constants.py.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

_CONTROL = re.compile(r"[\x00-\x1f]")


@dataclass(frozen=True)
class Scoring(ABC):
    """How an output is compared with the references."""

    @abstractmethod
    def score(self, output: str, references: Sequence[str]) -> float:
        """Return the score of one output, 0 … 1."""


class AllOf(Scoring):
    """The share of references that the output contains."""

    def score(self, output: str, references: Sequence[str]) -> float:
        """Return the share of references that the output contains."""
        return sum(found(output, references)) / len(references)


class AnyOf(Scoring):
    """Whether the output contains a reference."""

    def score(self, output: str, references: Sequence[str]) -> float:
        """Return 1 where the output contains a reference, else 0."""
        return float(any(found(output, references)))


class Exact(Scoring):
    """Whether the output's first line is a reference, apart from white space."""

    def score(self, output: str, references: Sequence[str]) -> float:
        """Return 1 where the first line is a reference, else 0."""
        lines = output.strip().splitlines()
        return float(bool(lines) and _words(lines[0]) in map(_words, references))


@dataclass(frozen=True)
class OnlyOne(Scoring):
    """Whether the output's first sentence names the reference and none of the other choices.

    Arguments:
        choices: all answers.

    Source: Kuratov et al. 2024, BABILong, arXiv:2406.10149 (babilong/metrics.py).
    """

    choices: tuple[str, ...]

    def score(self, output: str, references: Sequence[str]) -> float:
        """Return 1 where the choices that the first sentence names are the references, else 0."""
        first = re.split(r"[.\n]", output.strip().lower(), maxsplit=1)[0]
        named = {choice for choice in self.choices if re.search(rf"\b{re.escape(choice.lower())}\b", first)}
        return float(named == set(references))


class FirstNumber(Scoring):
    """Whether the first number in the output is a reference.

    Source: Mohtashami & Jaggi 2023, Landmark attention, arXiv:2305.16300 (llama/run_test.py).
    """

    def score(self, output: str, references: Sequence[str]) -> float:
        """Return 1 where the first run of digits is a reference, else 0."""
        number = re.search(r"\d+", output)
        return float(number is not None and number.group() in references)


def found(output: str, references: Sequence[str]) -> list[bool]:
    """Return for each reference whether the output contains it, whatever the case."""
    seen = _CONTROL.sub("\n", output.strip()).strip().lower()
    return [reference.lower() in seen for reference in references]


def _words(text: str) -> list[str]:
    return text.split()
