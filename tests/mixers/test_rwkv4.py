"""Outside sources: the RWKV of transformers, and the average as the paper writes it, without a running maximum."""

import numpy as np
import pytest
import torch
from transformers import RwkvConfig
from transformers.models.rwkv.modeling_rwkv import RwkvModel, RwkvSelfAttention

from longspan.mixers.rwkv4 import RWKV4
from mixers.by_formula import drawn, mixed, text

CONFIG = RwkvConfig(vocab_size=8, hidden_size=8, num_hidden_layers=2, context_length=16)


def test_is_the_layer_of_transformers() -> None:
    weights, x = drawn(RWKV4()), text()
    layer = RwkvSelfAttention(CONFIG).double()
    theirs = {name: weights[name] for name in ("key", "value", "receptance")} | {"output": weights["out"]}
    state = {f"{name}.weight": value for name, value in theirs.items()}
    state |= {f"time_mix_{name}": weights[f"shift_{name}"][None, None] for name in ("key", "value", "receptance")}
    state |= {"time_decay": weights["decay"], "time_first": weights["first"]}
    layer.load_state_dict(state)
    wanted, _ = layer(x)
    torch.testing.assert_close(mixed(x, RWKV4(), weights), wanted, rtol=1e-6, atol=1e-7)  # its sums are float32


def test_average_by_hand() -> None:
    """With keys so small that nothing overflows."""
    weights, x = drawn(RWKV4()), text(7, 1)
    before = np.concatenate([np.zeros((1, 8)), x[0, :-1]])
    mixed_in = {
        n: x[0].numpy() * weights[f"shift_{n}"].numpy() + before * (1 - weights[f"shift_{n}"].numpy())
        for n in ("receptance", "key", "value")
    }
    receptance, key, value = (mixed_in[name] @ weights[name].numpy().T for name in mixed_in)
    w, u = np.exp(weights["decay"].numpy()), weights["first"].numpy()
    y = np.zeros((7, 8))
    for t in range(7):
        shares = np.exp([-(t - 1 - i) * w + key[i] if i < t else u + key[t] for i in range(t + 1)])
        y[t] = (shares * value[: t + 1]).sum(0) / shares.sum(0)
    wanted = (y / (1 + np.exp(-receptance))) @ weights["out"].numpy().T
    np.testing.assert_allclose(mixed(x, RWKV4(), weights)[0], wanted, rtol=1e-10, atol=1e-12)


def test_initial_values_are_those_of_transformers() -> None:
    """Of the first layer. Its u is left out: transformers sets it to ones, where the authors' code has ln 0.3 ± 0.5."""
    layer, own = RwkvModel(CONFIG).blocks[0].attention, RWKV4().initial_weights(2, 4)
    assert isinstance(layer, RwkvSelfAttention)
    torch.testing.assert_close(own["decay"], layer.time_decay.detach())
    for name in ("key", "value", "receptance"):
        torch.testing.assert_close(own[f"shift_{name}"], getattr(layer, f"time_mix_{name}").detach()[0, 0])
    assert own["first"].tolist() == pytest.approx([np.log(0.3) + 0.5 * z for z in (0, 1, -1, 0, 1, -1, 0, 1)])


@pytest.mark.parametrize("mode", ["recurrent", "chunk"])
def test_large_keys_do_not_overflow(mode: str) -> None:
    weights = drawn(RWKV4())
    weights["key"] = weights["key"] * 1e4
    assert mixed(text(), RWKV4(), weights, mode=mode).isfinite().all()
