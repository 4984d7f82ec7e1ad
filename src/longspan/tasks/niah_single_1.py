"""One number of one key, hidden in five sentences that repeat.

A model must copy a number. The needle is the only sentence that does not repeat, so that no key is needed to find it.
Chance is zero: a number of seven digits cannot be guessed.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654 (see `longspan.prompts.needles` for what differs).
"""

from dataclasses import dataclass

from longspan.prompts.needles import Haystack, NeedleTask, Noise


@dataclass(frozen=True)
class NiahSingle1(NeedleTask):
    """RULER's niah_single_1.

    Arguments: see `NeedleTask`.
    """

    haystack: Haystack = Noise()
