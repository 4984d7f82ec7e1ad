"""Window baseline: true distances, and at inference nobody looks farther than the trained length.

    distance(r) = r,  0 ≤ r < w

Source: Su 2023, "Transformer upgrade road 7: length extrapolation and local attention", kexue.fm/archives/9431 (the
"super-strong baseline").
"""

from longspan.distance.true import TrueDistance
from longspan.mask.window import Window
from longspan.slots import Part


def window_baseline(size: int | None = None) -> tuple[Part, ...]:
    """Neutral: size ≥ length.

    Arguments:
        size: w, tokens (left open: the trained length).
    """
    return TrueDistance(), Window(size)
