"""The numbers of four keys, hidden in the user's text and asked for at once.

A model must find all four needles; the score is the share found.
Chance is zero: a number of seven digits cannot be guessed.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654 (see `longspan.prompts.needles` for what differs).
"""

from dataclasses import dataclass

from longspan.prompts.needles import Document, Haystack, NeedleTask


@dataclass(frozen=True)
class NiahMultiquery(NeedleTask):
    """RULER's niah_multiquery.

    Arguments: see `NeedleTask`.
    """

    keys: int = 4
    queries: int = 4
    haystack: Haystack = Document()
