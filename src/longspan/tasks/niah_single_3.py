"""One UUID of one key, hidden in the user's text.

A model must find one sentence in a text about other things and copy 32 hexadecimal digits without a mistake.
Chance is zero: a UUID cannot be guessed.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654 (see `longspan.prompts.needles` for what differs).
"""

from dataclasses import dataclass

from longspan.prompts.needles import Document, Haystack, Kind, NeedleTask, Uuids


@dataclass(frozen=True)
class NiahSingle3(NeedleTask):
    """RULER's niah_single_3.

    Arguments: see `NeedleTask`.
    """

    value: Kind = Uuids()
    haystack: Haystack = Document()
