"""LM-Infinite: a window of the trained length and the first tokens, at distances of at most the window.

    r < w  or  j < s,  at distance min(r, w)

Source: Han et al. 2023, "LM-Infinite: Zero-Shot Extreme Length Generalization for Large Language Models",
arXiv:2308.16137.
Differs from the paper: without its optional choice of a few middle tokens per query.
"""

from longspan.distance.rerope import ReRoPE
from longspan.errors import SchemeError
from longspan.mask.window import Window
from longspan.slots import Part


def lm_infinite(window: int | None = None, sinks: int = 10, *, trained_length: int | None = None) -> tuple[Part, ...]:
    """Neutral: window ≥ length.

    Arguments:
        window: w, tokens, both of the mask and of the largest distance (left open: the trained length).
        sinks: s, first tokens that every query sees; 10 … 100.
        trained_length: L, tokens (left open: the model's).

    Errors: SchemeError where neither window nor trained length is known.
    """
    window = trained_length if window is None else window
    if window is None:
        raise SchemeError("lm_infinite needs window: write lm_infinite(window=...), or parse with a geometry")
    return ReRoPE(window), Window(window, sinks=sinks)
