"""Several methods against one baseline, on the same documents: which differences are more than chance?

Under "the method makes no difference" each document's difference may as well have the other sign: the share of all
flips of signs that give a mean as far from 0 is the p-value (exact up to 13 documents, else by random flips). Holm's
step-down correction keeps the chance of any false claim among all methods below the level.

Source: Fisher 1935, "The Design of Experiments", section 21; Holm 1979, SJS 6:65.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from longspan.errors import InputError

FLIPS = 10_000
"""Random flips where there are more flips than this."""


def sign_flip(differences: Sequence[float], seed: int = 0) -> float:
    """The two-sided p-value of a mean difference, one difference per document.

    >>> sign_flip([1.0, 2.0, 3.0, 4.0, 5.0])
    0.0625

    Errors: InputError for no documents.
    """
    if not len(differences):
        raise InputError("a comparison of no documents has no p-value")
    pairs = np.asarray(differences, dtype=np.float64), np.zeros(len(differences))
    found = stats.permutation_test(
        pairs, _mean_difference, permutation_type="samples", vectorized=True, n_resamples=FLIPS, rng=seed
    )
    return float(found.pvalue)


def _mean_difference(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray | np.float64:
    return (first - second).mean(axis)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p-values corrected for their number, in the order that they came in.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    corrected, largest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}
