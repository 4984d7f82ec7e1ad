"""What attention layers of extended models compute under `torch.autocast`."""

from typing import Any

import pytest
import torch
from torch import Tensor

from longspan.pretrained.attach import attached, design, extend
from longspan.pretrained.running.attention import LAYER
from pretrained.models import in_parts, logits, tiny_llama, tokens

EXTENSIONS = ("rerope(window=6)", "rerope(window=6) + compressed(codes=3)", "dynamic_ntk + rerope(window=6)")
DESIGNS = (
    "alibi", "kerple_log", "xpos", "hwfa", "rope + key_norm", "rope + urpe", "nope + softmax_plus_one",
    "rope + sparsemax", "leaky_rerope(window=16, k=0.25)", "tile('MA', M=mamba(states=4), A=alibi)",
)  # fmt: skip


class Recorded:
    """An attention layer that keeps what it was given and what it returned."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.calls = layer, []

    def __call__(self, module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any) -> Any:
        out = self.layer(module, query, key, value, mask, **kwargs)
        self.calls.append(((query, key, value), mask, kwargs, out[0]))
        return out


@pytest.mark.parametrize("scheme", EXTENSIONS)
def test_a_layer_computes_what_it_does_with_lower_queries_keys_and_values(scheme: str) -> None:
    model, words = tiny_llama(), tokens(2, 24)
    with attached(model, scheme):
        module = model.model.layers[1].self_attn
        recorded = Recorded(module.__dict__[LAYER])
        setattr(module, LAYER, recorded)
        with torch.autocast("cpu", torch.bfloat16):
            logits(model, words)
        (tensors, mask, kwargs, out), = recorded.calls  # fmt: skip
        assert tensors[0].dtype == torch.float32  # rotary modules rotate there
        lower = (x.bfloat16() for x in tensors)
        again = recorded.layer(module, *lower, mask, **kwargs)[0]
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, again)


@pytest.mark.parametrize("scheme", EXTENSIONS)
def test_pieces_behind_padding_are_the_whole_text_up_to_rounding(scheme: str) -> None:
    model, words = tiny_llama(), tokens(2, 40)
    mask = torch.ones_like(words)
    mask[0, :9] = 0
    with attached(model, scheme):
        exact = logits(model, words, attention_mask=mask)[mask.bool()]
        with torch.autocast("cpu", torch.bfloat16):
            whole = logits(model, words, attention_mask=mask)[mask.bool()].float()
            parts = in_parts(model, words, [30, 4, *[1] * 6], mask=mask)[mask.bool()].float()
    with torch.autocast("cpu", torch.bfloat16):
        plain = logits(model, words, attention_mask=mask)[mask.bool()].float()
    rounding = float((plain - logits(model, words, attention_mask=mask)[mask.bool()]).square().mean())
    for found in (whole, parts):
        assert float((found - exact).square().mean()) < 4 * rounding  # twice the plain model's error


@pytest.mark.parametrize("text", DESIGNS)
def test_every_design_trains_in_bfloat16(text: str) -> None:
    """The gradients are those of float32 up to rounding: their directions agree."""
    words, found = tokens(2, 40), []
    for mixed in (True, False):
        model = design(tiny_llama(), text).train()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = model(input_ids=words, labels=words, use_cache=False).loss
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.cosine_similarity(*found, dim=0) > 0.95


def test_a_model_can_be_extended_under_autocast() -> None:
    """The model is tried in float32, where its own rounding hides nothing and refuses nothing."""
    model, words = tiny_llama(), tokens(1, 40)
    with torch.autocast("cpu", torch.bfloat16):
        extend(model, "rerope(window=6)")
    with attached(tiny_llama(), "rerope(window=6)") as wanted:
        assert torch.equal(logits(model, words), logits(wanted, words))
