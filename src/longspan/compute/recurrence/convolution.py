"""A causal convolution by FFT: n outputs of a kernel as long as the text, in n log n operations.

    y_t = Σ_{s ≤ t} K_{t−s} x_s

The transforms have room for both sequences, so that nothing wraps around.

Source: Gu et al. 2022, "Efficiently Modeling Long Sequences with Structured State Spaces", arXiv:2111.00396.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def causal_convolution(
    x: Float[Tensor, "batch tokens channels"], kernel: Float[Tensor, "tokens channels"]
) -> Float[Tensor, "batch tokens channels"]:
    """Return the convolution of each channel with its kernel; half precision is computed in float32."""
    tokens = x.shape[1]
    exact = torch.promote_types(x.dtype, torch.float32)
    transformed = torch.fft.rfft(x.to(exact), 2 * tokens, dim=1) * torch.fft.rfft(kernel.to(exact), 2 * tokens, dim=0)
    return torch.fft.irfft(transformed, 2 * tokens, dim=1)[:, :tokens].to(x.dtype)
