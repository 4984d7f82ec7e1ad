"""Masks as matrices: the library's over one document, and its own counts, for comparison with definitions."""

import numpy as np
import torch

from longspan.slots import Mask


def matrix(mask: Mask, places: int, causal: bool) -> np.ndarray:
    """Which pairs exist, (queries, keys)."""
    order = torch.arange(places)
    return mask(order[:, None], order, causal).numpy()


def counts(mask: Mask, places: int, causal: bool) -> list[int]:
    """How many keys each query sees, by the mask's closed form."""
    return mask.count(torch.arange(places), torch.tensor(places), causal).tolist()
