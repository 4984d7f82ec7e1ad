"""One UUID of one key that is a UUID, among needles of other UUIDs.

A model must match a key of 32 hexadecimal digits among as many others as the prompt has lines, and copy as many digits.
Chance is 1 in the number of lines for a model that ignores the keys.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654 (see `longspan.prompts.needles` for what differs).
"""

from dataclasses import dataclass

from longspan.prompts.needles import Haystack, Kind, NeedleTask, OtherNeedles, Uuids


@dataclass(frozen=True)
class NiahMultikey3(NeedleTask):
    """RULER's niah_multikey_3.

    Arguments: see `NeedleTask`.
    """

    key: Kind = Uuids()
    value: Kind = Uuids()
    haystack: Haystack = OtherNeedles()
