"""The slots of the equation: what a part of each kind must answer, one file for each slot.

    match(i, j)    = ⟨ R(a) N(q_i), R(c)⁻ᵀ N(k_j) ⟩ + ⟨ N(q_i), κ(i, j) ⟩            with a − c = distance(i, j)
    score_h(i, j)  = cap( scale_h · sharpness(i) · match(i, j) ) + bias_h(i, j)
    weight_h(i, ·) = normalizer( score_h(i, j)  for j with mask(i, j) ) · reweight_h(i, j)
    out_h(i)       = Σ_j weight_h(i, j) ( v_j + ν(i, j) )

A token has an *order* and a *position*. Its order counts the tokens before it in its document: 0, 1, 2 …. Its position
is the number, or one number for each axis, that rotations are functions of: usually the order, but positions may jump,
repeat or be fractions. `mask`, `memory` and `sharpness` see orders; `rotation`, `distance`, `bias` and `reweight` see
positions. Where a `memory` is named, far keys and values are not those of the tokens but what it keeps of them.
"""

from longspan.slots.bias import Bias, ScoreBias, VectorBias
from longspan.slots.cap import Cap
from longspan.slots.distance import EVERYWHERE, TRUE_BRANCHES, Band, Branch, Distance
from longspan.slots.mask import Direction, Mask
from longspan.slots.memory import Memory
from longspan.slots.mixer import (
    BlockMixer,
    FollowingMixer,
    GatedUnit,
    HeadsMixer,
    Matrices,
    Mixer,
    State,
    head_projections,
    projection,
)
from longspan.slots.normalizer import Normalizer, in_rows_with_keys
from longspan.slots.part import INFINITE, UNBOUNDED, Part, Weights
from longspan.slots.qk_norm import QKNorm
from longspan.slots.reweight import Reweight
from longspan.slots.rotation import (
    DEFAULT_THETA,
    Layout,
    RotaryEmbedding,
    Rotation,
    Segment,
    Spectrum,
    geometric,
)
from longspan.slots.scale import Scale
from longspan.slots.sharpness import Sharpness

__all__ = [
    "DEFAULT_THETA",
    "EVERYWHERE",
    "INFINITE",
    "TRUE_BRANCHES",
    "UNBOUNDED",
    "Band",
    "Bias",
    "BlockMixer",
    "Branch",
    "Cap",
    "Direction",
    "Distance",
    "FollowingMixer",
    "GatedUnit",
    "HeadsMixer",
    "Layout",
    "Mask",
    "Matrices",
    "Memory",
    "Mixer",
    "Normalizer",
    "Part",
    "QKNorm",
    "Reweight",
    "RotaryEmbedding",
    "Rotation",
    "Scale",
    "ScoreBias",
    "Segment",
    "Sharpness",
    "Spectrum",
    "State",
    "VectorBias",
    "Weights",
    "geometric",
    "head_projections",
    "in_rows_with_keys",
    "projection",
]
