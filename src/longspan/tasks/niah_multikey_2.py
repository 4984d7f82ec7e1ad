"""One number of one key among needles of other keys: every line is a needle.

A model must distinguish one key from as many others as the prompt has lines, and copy the number that belongs to it.
Chance is 1 in the number of lines for a model that ignores the keys.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654 (see `longspan.prompts.needles` for what differs).
"""

from dataclasses import dataclass

from longspan.prompts.needles import Haystack, NeedleTask, OtherNeedles


@dataclass(frozen=True)
class NiahMultikey2(NeedleTask):
    """RULER's niah_multikey_2.

    Arguments: see `NeedleTask`.
    """

    haystack: Haystack = OtherNeedles()
