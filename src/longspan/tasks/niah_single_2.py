"""One number of one key, hidden in the user's text.

A model must find the one sentence that speaks of a key, in a text about other things, and copy a number.
Chance is zero: a number of seven digits cannot be guessed.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654 (see `longspan.prompts.needles` for what differs).
"""

from dataclasses import dataclass

from longspan.prompts.needles import Document, Haystack, NeedleTask


@dataclass(frozen=True)
class NiahSingle2(NeedleTask):
    """RULER's niah_single_2.

    Arguments: see `NeedleTask`.
    """

    haystack: Haystack = Document()
