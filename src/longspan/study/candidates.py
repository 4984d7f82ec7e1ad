"""Candidates: the methods worth trying on a model, with parameters by each method's own rule.

With L the trained and N the wanted length: ReRoPE's window between L/4 and L/2; Leaky ReRoPE and Self-Extend keep all
distances within L/2. What rescales frequencies counts from the length L before any rescaling that the model came with:
NTK is given twice the factor N/L, because untrained it reads to about half; YaRN's fast pairs are those that rotate at
least 32 times within L, or a quarter of what the fastest pair rotates where L is small (at L = 128 no pair rotates 32
times and YaRN would slow all of them). The method itself fills in what is left open here.
"""

from math import pi

from longspan.geometry import Geometry
from longspan.measure.method import filled


def candidates(geometry: Geometry, length: int) -> tuple[str, ...]:
    """Return schemes as text, the most promising first, because a short budget cuts the end."""
    trained, original = geometry.trained_length, geometry.without_rescaling().trained_length
    quarter, half = max(1, trained // 4), max(1, trained // 2)
    fast = max(2.0, round(original / (2 * pi) / 4))
    texts = (
        f"rerope(window={half}) + log_length",
        f"leaky_rerope(window={quarter}) + log_length",
        f"self_extend(window={quarter}) + log_length",
        "yarn" if fast >= 32 else f"yarn(fast={fast:g})",
        f"rerope(window={quarter}) + log_length",
        "ntk_mixed + log_length",
        "dynamic_ntk + log_length",
        "dual_chunk",
        f"rerope(window={half})",
        f"ntk(factor={2 * length / original:g})",
        f"self_extend(window={quarter})",
        f"lm_infinite(window={half})",
        "streaming_llm",
    )
    return tuple(filled(text, geometry, length) for text in texts)
