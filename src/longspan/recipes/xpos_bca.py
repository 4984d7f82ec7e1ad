"""xPos with blockwise causal attention: trained with full attention, read in half-blocks of the trained length.

    xpos  over  0 ≤ ⌊i/h⌋ − ⌊j/h⌋ ≤ 1,  h = l / 2

Source: Sun et al. 2022, "A Length-Extrapolatable Transformer", arXiv:2212.10554, section 3.
"""

from longspan.mask.blockwise import Blockwise
from longspan.rotation.xpos import XPos
from longspan.slots import Part


def xpos_bca(block: int | None = None, scale_base: int = 512) -> tuple[Part, ...]:
    """Neutral: none; up to `block` tokens it is xPos alone, as it was trained.

    Arguments:
        block: l, tokens, even (left open: the trained length, made even).
        scale_base: B of xPos, tokens.
    """
    return XPos(scale_base=scale_base), Blockwise(block)
