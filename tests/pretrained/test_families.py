"""A dozen families that differ in layout, masks, norms and cache; `make conformance` has all of them."""

import pytest
import torch

import longspan
from pretrained.families import small_model
from pretrained.models import in_parts, logits

WORDS = torch.randint(3, 119, (1, 40), generator=torch.Generator().manual_seed(0))

FAMILIES = {
    "cohere": "interleaved",
    "deepseek_v3": "latent attention, the last channels turn",
    "gemma2": "softcap, sliding and full layers with one rope",
    "gemma3_text": "sliding and full layers with two ropes",
    "glm4": "interleaved and partial",
    "gpt_neox": "partial",
    "gpt_oss": "attention sinks, sliding layers",
    "llama": "plain",
    "nanochat": "turns backward",
    "olmo2": "norms on q and k",
    "phi3": "one projection for q, k and v",
    "qwen3_moe": "experts",
    "smollm3": "layers without rotation",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family):
    model = small_model(family)
    plain = logits(model, WORDS)
    deviation = float(plain.std())
    still = logits(model, WORDS, position_ids=torch.zeros_like(WORDS), attention_mask=torch.ones_like(WORDS))
    assert (plain - still).std() > 0.2 * deviation
    with longspan.attached(model, "rerope(window=1000)"):
        torch.testing.assert_close(logits(model, WORDS), plain, rtol=0, atol=1e-3 * deviation)
    for scheme in ("rerope(window=6) + log_length(trained_length=8)", "yarn(factor=2)", "window(size=8, sinks=2)"):
        with longspan.attached(model, scheme):
            found = logits(model, WORDS)
            assert (found - plain).std() > 0.01 * deviation
            parts = in_parts(model, WORDS, [30, 4, *[1] * 6])
            torch.testing.assert_close(parts, found, rtol=0, atol=1e-3 * deviation)
    assert torch.equal(logits(model, WORDS), plain)
