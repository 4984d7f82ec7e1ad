"""Four numbers of one key, hidden in the user's text.

A model must find every value of a key, not only the first; the score is the share found.
Chance is zero: a number of seven digits cannot be guessed.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654 (see `longspan.prompts.needles` for what differs).
"""

from dataclasses import dataclass

from longspan.prompts.needles import Document, Haystack, NeedleTask


@dataclass(frozen=True)
class NiahMultivalue(NeedleTask):
    """RULER's niah_multivalue.

    Arguments: see `NeedleTask`.
    """

    values: int = 4
    haystack: Haystack = Document()
