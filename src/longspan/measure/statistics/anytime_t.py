"""A t-test that may be looked at after every value: an e-process for "the mean is 0", of Gaussian values of any scale.

The mean over the deviation, m / σ, is Gaussian around 0 beforehand with deviation 1 / c, and every σ is alike:

    e(n) = √(c² / (n + c²)) · ( Σx² / (Σx² − (Σx)² / (n + c²)) )^(n/2)

e exceeds 1/α at any time with probability α at most. It needs no bounds of the values, unlike `betting`, and holds as
far as the values are Gaussian, as Student's t does. Multiplying all values by a number changes nothing.

Source: Wang & Ramdas 2024, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance",
Sequential Analysis 43:1, section 4; Lai 1976, "On confidence sequences", AoS 4:2; Ville 1939.
"""

import numpy as np
from jaxtyping import Float64

PRECISION = 0.25
"""c²: effects of two deviations, as between a method that reads far and one that does not, are usual."""


def log_evidence(
    values: Float64[np.ndarray, "values *tests"], precision: float = PRECISION
) -> Float64[np.ndarray, "*tests"]:
    """The natural log of e(n) after all values, one for each test; 0 where all values are 0.

    >>> np.exp(log_evidence(np.array([1.0, 2.0, 3.0]))).item()
    2.91
    """
    count = len(values)
    squares, total = (values**2).sum(0), values.sum(0)
    explained = total**2 / ((count + precision) * np.where(squares > 0, squares, 1.0))
    prior = 0.5 * np.log(precision / (count + precision))
    return np.where(squares > 0, prior - count / 2 * np.log1p(-explained), 0.0)
