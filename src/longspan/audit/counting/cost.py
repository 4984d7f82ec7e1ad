"""Where the quadratic term of attention dominates: from the shapes of the model itself.

One more token at context n costs, in floating-point operations (a multiplication and an addition count as two),

    weights      2 P                                     P: weights it is multiplied by, of experts those it is sent to
    attention    Σ_layers 2 H (d_q + d_v) min(n, w)      H: heads; d_q, d_v: channels of query and value; w: window

and n* is the context at which layers without a window cost as much as all the rest. A plain Transformer of hidden
size h has P = 12 h² and H (d_q + d_v) = 2 h per layer, and n* = 24 h² / 4 h = 6 h.

Source: Kaplan et al. 2020, "Scaling Laws for Neural Language Models", arXiv:2001.08361, table 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from longspan.audit.watching.observation import Layer


@dataclass(frozen=True)
class Cost:
    """What one more token costs.

    Arguments:
        weights: floating-point operations with weights, per token.
        windows: floating-point operations of attention within full windows, per token.
        per_key: floating-point operations of attention per token and key, in layers without a window.
        crossing: context in tokens at which these layers cost as much as all the rest; None where none of them is.
        hidden_size: channels of the hidden state.
    """

    weights: float
    windows: float
    per_key: float
    crossing: float | None
    hidden_size: int


def cost(layers: Iterable[Layer], weights: float, hidden_size: int, length: int) -> Cost:
    """Count the operations.

    Arguments:
        weights: weights that one token is multiplied by.
        length: tokens of the texts that are asked about; a window that is not shorter is none.

    >>> plain = Layer(0, "full_attention", True, 8, 8, 128, 128)
    >>> cost([plain], 12 * 1024**2, 1024, 4096).crossing  # 6 h
    6144.0
    """
    windows = per_key = 0.0
    for layer in layers:
        each = 2.0 * layer.num_heads * (layer.head_dim + layer.value_dim)
        window = layer.window_within(length)
        if window is None:
            per_key += each
        else:
            windows += each * window
    rest = 2.0 * weights + windows
    return Cost(2.0 * weights, windows, per_key, rest / per_key if per_key else None, hidden_size)
