"""Models whose weights lie elsewhere: offloading by accelerate."""

from typing import Any

import pytest
import torch
from torch import Tensor

import longspan
from longspan.pretrained.attachment import attachment_of
from pretrained.models import in_parts, logits, tiny_llama, tokens

SCHEMES = ("rerope(8)", "leaky_rerope(window=8, k=4)", "yarn(factor=2) + log_length")


def generate(model: Any, words: Tensor) -> Tensor:
    return model.generate(words, attention_mask=torch.ones_like(words), max_new_tokens=6, do_sample=False)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_on_disk_change_nothing(tmp_path, scheme):
    from accelerate import dispatch_model

    words = tokens(2, 70)
    with longspan.attached(tiny_llama(), scheme) as model:
        expected = logits(model, words)
        generated = generate(model, words)
    places: dict[str, str | int | torch.device]
    places = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk"}
    places |= {"model.rotary_emb": "cpu", "model.norm": "disk", "lm_head": "cpu"}
    away = dispatch_model(tiny_llama(), places, main_device=torch.device("cpu"), offload_dir=str(tmp_path))
    assert any(weight.is_meta for weight in away.parameters())
    plain = logits(away, words)
    with longspan.attached(away, scheme):
        assert torch.equal(logits(away, words), expected)
        torch.testing.assert_close(in_parts(away, words, [60, *[1] * 10]), expected, rtol=0, atol=2e-5)
        assert torch.equal(generate(away, words), generated)
    assert attachment_of(away) is None
    assert torch.equal(logits(away, words), plain)
