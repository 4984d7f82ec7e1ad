"""A dozen families that differ in layout, masks, norms and cache; `make conformance` has all of them."""

import pytest
import torch

import longspan
from longspan.errors import RefusalError
from pretrained.families import small_model
from pretrained.models import in_parts, logits

WORDS = torch.randint(3, 119, (1, 40), generator=torch.Generator().manual_seed(0))

FAMILIES = {
    "cohere": "interleaved",
    "dbrx": "clipped queries and keys",
    "deepseek_v2": "complex numbers",
    "deepseek_v3": "latent attention, the last channels rotate",
    "gemma2": "softcap, sliding and full layers with one rope",
    "gemma3_text": "sliding and full layers with two ropes",
    "gemma4": "a wrapper of the text model; a part of the frequencies is zero",
    "glm4": "interleaved and partial",
    "gpt_neox": "partial",
    "gpt_oss": "attention sinks, sliding layers",
    "llama": "plain",
    "nanochat": "rotates backward",
    "olmo2": "norms on q and k",
    "phi3": "one projection for q, k and v",
    "phimoe": "a rotary module that computes its frequencies anew in every call",
    "qwen3_moe": "experts",
    "qwen3_next": "recurrent layers between those with attention",
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


@pytest.mark.parametrize("family", ["cohere", "deepseek_v3", "gpt_neox", "llama", "olmo2", "phi3", "qwen3_moe"])
def test_a_prompt_padded_anywhere_goes_on_as_it_would_alone(family):
    model, words, prompt = small_model(family), WORDS.repeat(2, 1), 36
    mask = torch.ones_like(words)
    mask[0, 20:prompt] = 0
    mask[1, :3] = mask[1, 9:17] = 0
    for scheme in ("rope", "rerope(window=6)", "log_length(trained_length=8)", "streaming_llm(sinks=2, size=10)"):
        with longspan.attached(model, scheme):
            parts = in_parts(model, words, [prompt, *[1] * 4], mask=mask)
            for row in range(2):
                real = mask[row].bool()
                alone = logits(model, words[row : row + 1, real])
                torch.testing.assert_close(parts[row : row + 1, real], alone, rtol=0, atol=1e-3 * float(alone.std()))


@pytest.mark.parametrize("family", ["gemma3_text", "gemma4_text", "gpt_oss", "ministral"])
@pytest.mark.parametrize("scheme", ["rope", "yarn(factor=2)", "rerope(window=6)", "window(size=8)"])
def test_sliding_layers_refuse_padding_between_tokens(family, scheme):
    """Their window, of 16 tokens here, is counted in slots by transformers: the model itself is wrong there."""
    model, mask = small_model(family), torch.ones_like(WORDS)
    mask[0, 20:30] = 0
    with longspan.attached(model, scheme):
        with pytest.raises(RefusalError, match="pad on the left"):
            logits(model, WORDS, attention_mask=mask)
        for padded in (mask[:, :30], mask[:, 22:], mask[:, :20]):  # on the right, on the left, none
            logits(model, WORDS[:, : padded.shape[1]], attention_mask=padded)
        narrow = mask[:, 18:32]  # no wider than the window
        logits(model, WORDS[:, : narrow.shape[1]], attention_mask=narrow)


@pytest.mark.parametrize("family", ["fuyu", "gemma4"])
def test_a_wrapper_that_makes_up_positions_may_count_padding(family):
    model = small_model(family)
    padded = torch.cat([torch.zeros(1, 5, dtype=torch.long), WORDS], 1)
    mask = (torch.arange(45) >= 5).long()[None]
    for scheme in ("self_extend(window=6, group=2)", "dual_chunk(chunk=12, local=4)"):
        with longspan.attached(model, scheme):
            alone, beside = logits(model, WORDS), logits(model, padded, attention_mask=mask)
            torch.testing.assert_close(beside[:, 5:], alone, rtol=0, atol=1e-3 * float(alone.std()))


def test_a_gain_reaches_the_scores_where_the_model_would_undo_it():
    """Nanochat normalizes rotated queries and keys, so that attention must do what its module cannot."""
    model, found = small_model("nanochat"), []
    for scheme in ("yarn(factor=2)", "yarn(factor=2) + rerope(window=1000)"):
        with longspan.attached(model, scheme):
            found.append(logits(model, WORDS))
    torch.testing.assert_close(*found, rtol=0, atol=1e-3 * float(found[0].std()))


def test_a_turning_that_is_not_understood_stays_where_it_is():
    """Hunyuan normalizes rotated queries and keys."""
    model = small_model("hunyuan_v1_dense")
    plain = logits(model, WORDS)
    for scheme in ("linear(factor=2)", "window(size=8, sinks=2)", "log_length(trained_length=8)"):
        with longspan.attached(model, scheme):
            found = logits(model, WORDS)
            assert (found - plain).std() > 0.01 * plain.std()
            parts = in_parts(model, WORDS, [30, 4, *[1] * 6])
            torch.testing.assert_close(parts, found, rtol=0, atol=1e-3 * float(plain.std()))
    for scheme in ("rerope(window=6)", "yarn(factor=2)", "streaming_llm(sinks=2, size=10)"):
        with pytest.raises(RefusalError, match="none of the known layouts explains"):
            longspan.extend(model, scheme)
    assert torch.equal(logits(model, WORDS), plain)


@pytest.mark.parametrize(
    ("family", "scheme", "reason"),
    [
        ("cohere2", "rerope(window=6)", "do not rotate with position"),
        ("deepseek_v32", "window(size=8)", "works on its masks itself"),
        ("deepseek_v32", "rerope(window=6)", "works on its masks itself"),
        ("deepseek_v4", "rope(theta=1e6)", "none of the known layouts"),
        ("falcon", "linear(factor=2)", "does not call attention through"),
        ("gptj", "linear(factor=2)", "no rotary position embedding"),
        ("kimi_linear", "rerope(window=6)", "without any positions it reads longer texts as it is"),
    ],
)
def test_a_family_is_refused_with_the_reason(family, scheme, reason):
    with pytest.raises(RefusalError, match=reason):
        longspan.extend(small_model(family), scheme)


def test_sparse_attention_takes_other_fixed_frequencies():
    model = small_model("deepseek_v32")
    plain = logits(model, WORDS)
    with longspan.attached(model, "yarn(factor=2)"):
        found = logits(model, WORDS)
        assert (found - plain).std() > 0.01 * plain.std()
        parts = in_parts(model, WORDS, [30, 4, *[1] * 6])
        torch.testing.assert_close(parts, found, rtol=0, atol=1e-3 * float(plain.std()))


@pytest.mark.parametrize("scheme", ["streaming_llm(sinks=2, size=10)", "leaky_rerope(window=6, k=2)"])
def test_sliding_and_full_layers_with_one_rope(scheme):
    model = small_model("gpt_oss")
    plain = logits(model, WORDS)
    with longspan.attached(model, scheme):
        found = logits(model, WORDS)
        assert (found - plain).std() > 0.01 * plain.std()
        parts = in_parts(model, WORDS, [30, 4, *[1] * 6])
        torch.testing.assert_close(parts, found, rtol=0, atol=1e-3 * float(plain.std()))
