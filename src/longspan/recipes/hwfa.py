"""HWFA: windows with RoPE in all layers but the last, which sees everything, without positions and with log n.

    layers 1 … ℓ − 1       rope + window(w)           (w − 1)(ℓ − 1) + 1 ≤ α L
    layer ℓ                nope + log_length(L, form="training")

Source: Su 2023, "Transformer upgrade road 9: a new idea for global length extrapolation", kexue.fm/archives/9603.
"""

from longspan.errors import SchemeError, shown
from longspan.mask.window import Window
from longspan.plan import MOST_LAYERS, Plan
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme
from longspan.sharpness.log_length import LogLength


def hwfa(num_layers: int, trained_length: int, window: int | None = None, alpha: float = 0.75) -> Plan:
    """A plan; it must be trained in.

    Arguments:
        num_layers: ℓ, at least 2 and at most 65536.
        trained_length: L, tokens.
        window: w, tokens (left open: the largest for which the receptive field of the windows is at most α L).
        alpha: α, the share of the trained length that the windows may reach; the article's 3/4.

    >>> hwfa(24, 512).layer(0, 24).mask.size
    17

    Errors: SchemeError for a number out of range, or no window that small.
    """
    if not 2 <= num_layers <= MOST_LAYERS:
        raise SchemeError(f"hwfa needs 2 … {MOST_LAYERS} layers, got {shown(num_layers)}")
    if not 0 <= alpha <= 1:
        raise SchemeError(f"hwfa: alpha must be in [0, 1], got {shown(alpha)}")
    full = Scheme(sharpness=LogLength(trained_length, form="training"))
    if window is None:
        window = int((alpha * trained_length - 1) // (num_layers - 1)) + 1
    near = Scheme(rotation=RoPE(), mask=Window(window))
    return Plan.per_layer([near] * (num_layers - 1) + [full])
