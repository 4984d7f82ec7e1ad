"""One number of one of four keys, all hidden in the user's text.

A model must distinguish the key that is asked for from three others.
Chance is 1 in 4 for a model that finds the needles and ignores the keys, else zero.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654 (see `longspan.prompts.needles` for what differs).
"""

from dataclasses import dataclass

from longspan.prompts.needles import Document, Haystack, NeedleTask


@dataclass(frozen=True)
class NiahMultikey1(NeedleTask):
    """RULER's niah_multikey_1.

    Arguments: see `NeedleTask`.
    """

    keys: int = 4
    haystack: Haystack = Document()
