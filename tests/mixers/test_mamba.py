"""Outside sources: the Mamba of transformers, and the kernel of the recurrence written out."""

import numpy as np
import pytest
import torch
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer

from longspan.mixers.mamba import Mamba
from mixers.by_formula import drawn, mixed, text

OURS = {
    "in": "in_proj.weight", "convolution_bias": "conv1d.bias", "selection": "x_proj.weight", "size": "dt_proj.weight",
    "size_bias": "dt_proj.bias", "a_log": "A_log", "skip": "D", "out": "out_proj.weight",
}  # fmt: skip


@pytest.mark.parametrize("mixer", [Mamba(), Mamba(states=3, expand=1, width=2, rank=5)])
def test_is_the_mixer_of_transformers(mixer: Mamba) -> None:
    weights, x = drawn(mixer), text()
    config = MambaConfig(
        hidden_size=8,
        state_size=mixer.states,
        expand=mixer.expand,
        conv_kernel=mixer.width,
        time_step_rank=mixer.rank or 1,
        num_hidden_layers=1,
    )
    layer = MambaMixer(config, 0).double().eval()
    state = {theirs: weights[ours] for ours, theirs in OURS.items()}
    layer.load_state_dict(state | {"conv1d.weight": weights["convolution"][:, None]})
    with torch.no_grad():
        wanted = layer(x)
    torch.testing.assert_close(mixed(x, mixer, weights), wanted, rtol=1e-5, atol=1e-6)  # A and states are float32 there


def test_states_are_a_sum_over_the_past() -> None:
    """h_t = Σ_s exp(A Σ_{r=s+1}^t Δ_r) Δ_s B_s x_s, without a recurrence."""
    mixer = Mamba(states=2, expand=1, width=1)
    weights, x = drawn(mixer), text(6, 1)
    own = {name: value.numpy() for name, value in weights.items()}
    read, gate = np.split(x[0].numpy() @ own["in"].T, 2, -1)
    silu = lambda v: v / (1 + np.exp(-v))  # noqa: E731
    read = silu(read * own["convolution"][:, 0] + own["convolution_bias"])
    size, entering, seen = np.split(read @ own["selection"].T, [1, 3], -1)
    size = np.log1p(np.exp(size @ own["size"].T + own["size_bias"]))
    a = -np.exp(own["a_log"])
    y = np.zeros((6, 8))
    for t in range(6):
        for s in range(t + 1):
            passed = size[s + 1 : t + 1].sum(0)[:, None]
            h = np.exp(a * passed) * size[s][:, None] * entering[s] * read[s][:, None]
            y[t] += h @ seen[t]
    wanted = ((y + own["skip"] * read) * silu(gate)) @ own["out"].T
    np.testing.assert_allclose(mixed(x, mixer, weights)[0], wanted, rtol=1e-10, atol=1e-12)


def test_initial_step_sizes() -> None:
    """Between 0.001 and 0.1, as their softplus gives back, and evenly in the logarithm."""
    sizes = torch.nn.functional.softplus(Mamba().initial_weights(16, 64)["size_bias"].double())
    assert 0.00099 <= sizes.min() <= sizes.max() <= 0.1001
    assert sizes.log10().mean().item() == pytest.approx(-2, abs=0.05)
