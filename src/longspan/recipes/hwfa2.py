"""HWFA2: windows with RoPE, and one or two full layers in the middle, whose RoPE becomes ReRoPE for long texts.

    window layers                    rope + window(w)                                  w = 2 L / ℓ … 4 L / ℓ
    ℓ / 2, or ℓ / 3 and 2 ℓ / 3      rope + log_length(L, form="training")             in training
                                     rerope(L / 2) + log_length(L, form="training")    at inference

Source: Su 2023, "Transformer upgrade road 14: when HWFA meets ReRoPE", kexue.fm/archives/9731.
Differs from the paper: log n in the full layers is kept from HWFA; the article does not specify it.
"""

from math import ceil

from longspan.distance.rerope import ReRoPE
from longspan.distance.true import TrueDistance
from longspan.errors import SchemeError, shown
from longspan.mask.window import Window
from longspan.plan import MOST_LAYERS, Plan
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme
from longspan.sharpness.log_length import LogLength


def hwfa2(
    num_layers: int,
    trained_length: int,
    window: int | None = None,
    full_layers: int = 1,
    rerope: int | None = None,
) -> Plan:
    """A plan; it must be trained in, with `rerope` left out.

    Arguments:
        num_layers: ℓ, at most 65536.
        trained_length: L, tokens.
        window: w, tokens (left open: 2 L / ℓ, rounded up).
        full_layers: how many layers see everything, evenly between the first and the last.
        rerope: the full layers' ReRoPE window at inference, tokens; half of L in the article. None while training.

    >>> [hwfa2(24, 512, full_layers=2).layer(i, 24).mask.name for i in (7, 8, 16)]
    ['window', 'all', 'all']

    Errors: SchemeError where the layers are too few for the full ones.
    """
    if not 2 <= num_layers <= MOST_LAYERS:
        raise SchemeError(f"hwfa2 needs 2 … {MOST_LAYERS} layers, got {shown(num_layers)}")
    if not 1 <= full_layers < num_layers:
        raise SchemeError(
            f"hwfa2: full_layers must be 1 … {num_layers - 1} of {num_layers} layers, got {shown(full_layers)}"
        )
    full = Scheme(
        rotation=RoPE(),
        distance=TrueDistance() if rerope is None else ReRoPE(rerope),
        sharpness=LogLength(trained_length, form="training"),
    )
    near = Scheme(rotation=RoPE(), mask=Window(ceil(2 * trained_length / num_layers) if window is None else window))
    where = {num_layers * (i + 1) // (full_layers + 1) for i in range(full_layers)}
    return Plan.per_layer([full if layer in where else near for layer in range(num_layers)])
