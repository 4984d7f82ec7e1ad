"""Families of latent attention decode on the latents that they cache, and give the logits that they gave before."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import DeepseekV3Config, PreTrainedModel, StaticCache
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.models.mistral4 import Mistral4Config, Mistral4ForCausalLM

import longspan
from longspan.errors import RefusalError
from longspan.measure.reading.reader import Reader
from longspan.measure.watching import watch
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.latents.expansion import EXPAND, latent_widths
from longspan.pretrained.latents.layer import OnLatents
from longspan.pretrained.running.attention import LAYER, Stock
from longspan.pretrained.running.hooks import TextModelHooks
from pretrained.families import SMALL, matter, model_of, small_model
from pretrained.models import in_parts, logits

FAMILIES = ["axk1", "bailing_hybrid", "deepseek_v2", "deepseek_v3", "glm4_moe_lite", "minicpm3", "youtu"]
INDEXED = ["axk2", "deepseek_v32", "dots3_note_text", "glm_moe_dsa"]
"""Families whose indexer chooses the keys of each query."""
ALONE = {"longcat_flash", "mistral4"}
"""Families that have a test of their own."""
OTHERS = {
    "glm5_next": "no class for causal language models",
    "mistral_large4": "no class for causal language models",
    "hy_v4": "attention sinks beside an indexer, which transformers computes in eager attention only",
    "kimi_linear": "no rotary position embedding",
}
"""Families that expand their latents as ever, and why."""
TESTS = Path(__file__).parents[2]
WORDS = torch.randint(3, 119, (1, 40), generator=torch.Generator().manual_seed(0))
PARTS = [30, 4, *[1] * 6]
SCHEMES = [
    "rope",
    "rerope(window=6) + log_length(trained_length=8)",
    "self_extend(window=6, group=2)",
    "window(size=8)",
]


@contextmanager
def expansions(model: PreTrainedModel) -> Iterator[list[int]]:
    """The tokens of each call that expands latents."""
    seen: list[int] = []
    projections = [m for name, m in model.named_modules() if name.endswith("kv_b_proj")]
    hooks = []
    for projection in projections:
        multiply = torch.nn.functional.linear

        def watched(x, weight=projection.weight, multiply=multiply):
            seen.append(x.shape[-2])
            return multiply(x, weight)

        projection.__dict__["forward"] = watched
        hooks.append(projection)
    try:
        yield seen
    finally:
        for projection in hooks:
            projection.__dict__.pop("forward")


def wide_deepseek() -> PreTrainedModel:
    """Latents that are wide enough for prompts to be expanded, as in the published models."""
    names = set(DeepseekV3Config().to_dict())
    sizes: dict[str, Any] = {name: value for name, value in SMALL.items() if name in names}
    sizes |= {"kv_lora_rank": 48, "num_key_value_heads": 4, "head_dim": 8}
    config = DeepseekV3Config(**sizes)
    return model_of(config, torch.float64)


def test_every_family_of_latent_attention_is_known() -> None:
    """A release of transformers that brings another one makes this fail."""
    models = Path(transformers.models.__path__[0])
    found = {path.parent.name for path in models.glob("*/modeling_*.py") if f"def {EXPAND}(" in path.read_text("utf-8")}
    known = {name.removesuffix("_text") for name in (*FAMILIES, *INDEXED, *ALONE)}
    assert found == known | OTHERS.keys()
    assert not known & OTHERS.keys()


def test_what_expands_as_ever_says_why() -> None:
    with pytest.raises(RefusalError, match="no rotary position embedding"):
        longspan.extend(small_model("kimi_linear"), "rope")
    for name in ("glm5_next", "mistral_large4"):
        assert name not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    model: Any = small_model("hy_v4")
    assert model.config._attn_implementation == "eager"
    wanted = in_parts(model, WORDS, PARTS)
    with longspan.attached(model, "rope"), expansions(model) as seen:
        assert torch.equal(in_parts(model, WORDS, PARTS), wanted)
    assert seen[-1] == WORDS.shape[1]


@pytest.mark.parametrize("scheme", ["rope", "linear(factor=4)"])
def test_an_indexers_choice_is_kept(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With padding, and with other frequencies, which the indexer reads too; the choice hides most keys here."""
    model: Any = small_model("deepseek_v32", torch.float64)
    words, mask = WORDS.repeat(2, 1), torch.ones(2, 40, dtype=torch.long)
    mask[1, :7] = 0
    everything: Any = small_model("deepseek_v32", torch.float64)
    everything.config.index_topk = 64
    for module in everything.modules():
        if hasattr(module, "index_topk"):
            module.index_topk = 64
    with longspan.attached(model, scheme):
        with expansions(model) as seen:
            found = in_parts(model, words, PARTS, mask=mask)
        for layer in model.model.layers:
            layer.self_attn.__dict__[LAYER] = Stock("sdpa")
            layer.self_attn.__dict__.pop(EXPAND)
        model.config._attn_implementation_internal = "sdpa"  # right for these layers, which are transformers' own again
        monkeypatch.setattr(TextModelHooks, "_check_implementation", lambda self: None)
        wanted = in_parts(model, words, PARTS, mask=mask)
    assert seen == []
    real = mask.bool()
    torch.testing.assert_close(found[real], wanted[real], rtol=0, atol=1e-5 * float(wanted[real].std()))
    with longspan.attached(everything, scheme):
        others = in_parts(everything, words, PARTS, mask=mask)
    assert (others[real] - wanted[real]).abs().max() > 0.01 * wanted[real].std()


@pytest.mark.parametrize("family", [*FAMILIES, *INDEXED])
def test_logits_stay_and_nothing_is_expanded(family: str) -> None:
    model: Any = small_model(family)
    plain = logits(model, WORDS)
    whole = in_parts(model, WORDS, PARTS)
    with longspan.attached(model, "rope") as extended:
        present = attachment_of(extended)
        assert present is not None
        layers = sum(isinstance(layer.module.__dict__[LAYER], OnLatents) for layer in present.anatomy.layers)
        assert layers == len(present.anatomy.layers)
        with expansions(model) as seen:
            found = in_parts(model, WORDS, PARTS)
    assert seen == []
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-5 * 3 * float(plain.std()))
    with expansions(model) as seen:
        in_parts(model, WORDS, PARTS)
    assert len(seen) == layers * len(PARTS)  # the model by itself expands all that it holds, in each call
    assert max(seen[-layers:]) == WORDS.shape[1]
    assert torch.equal(logits(model, WORDS), plain)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_prompts_are_expanded_and_steps_are_not(scheme: str) -> None:
    model: Any = wide_deepseek()
    with longspan.attached(model, scheme), expansions(model) as seen:
        whole = logits(model, WORDS)
        prompts, seen[:] = list(seen), []
        parts = in_parts(model, WORDS, PARTS)
    assert set(prompts) == {40}
    assert set(seen) == {30}
    torch.testing.assert_close(parts, whole, rtol=0, atol=3e-6 * float(whole.std()))


@pytest.mark.parametrize("scheme", SCHEMES[:2])
def test_padding_and_static_caches(scheme: str) -> None:
    model: Any = small_model("deepseek_v3", torch.float64)
    words, mask = WORDS.repeat(2, 1), torch.ones(2, 40, dtype=torch.long)
    mask[1, :7] = 0
    with longspan.attached(model, scheme), expansions(model) as seen:
        alone = logits(model, WORDS[:, 7:])
        padded = in_parts(model, words, PARTS, mask=mask)
        static = StaticCache(config=model.config, max_cache_len=48)
        slots = in_parts(model, WORDS, PARTS, cache=static)
        whole = logits(model, WORDS)
    assert seen == []
    for found, wanted in ((padded[1:, 7:], alone), (padded[:1], whole), (slots, whole)):
        torch.testing.assert_close(found, wanted, rtol=0, atol=3e-6 * float(wanted.std()))


def test_generation_is_the_models_own() -> None:
    model: Any = small_model("deepseek_v2")
    options = {"max_new_tokens": 12, "do_sample": False}
    mask = torch.ones_like(WORDS)
    wanted = model.generate(WORDS, attention_mask=mask, **options)
    with longspan.attached(model, "rope"):
        assert torch.equal(model.generate(WORDS, attention_mask=mask, **options), wanted)
        beams = model.generate(WORDS, attention_mask=mask, num_beams=3, **options)
    assert torch.equal(beams, model.generate(WORDS, attention_mask=mask, num_beams=3, **options))


def test_a_projection_that_is_more_than_a_product_is_asked_itself() -> None:
    """An adapter's weights are not in the matrix that would be absorbed."""
    peft = pytest.importorskip("peft")
    model: Any = small_model("deepseek_v3")
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["kv_b_proj"], init_lora_weights=False))
    wanted = logits(adapted, WORDS)
    longspan.extend(adapted, "rope")
    torch.testing.assert_close(logits(adapted, WORDS), wanted, rtol=0, atol=1e-4 * float(wanted.std()))


def test_an_adapter_that_comes_later_is_asked_as_well() -> None:
    peft = pytest.importorskip("peft")
    model: Any = longspan.extend(small_model("deepseek_v3"), "rope")
    before = logits(model, WORDS)
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["kv_b_proj"], init_lora_weights=False))
    found = logits(adapted, WORDS)
    longspan.detach(model)
    assert (found - before).abs().max() > 0.01 * before.std()
    torch.testing.assert_close(found, logits(adapted, WORDS), rtol=0, atol=1e-4 * float(before.std()))


def test_copies_attend_as_well() -> None:
    model: Any = longspan.extend(small_model("deepseek_v3"), "rope")
    wanted = in_parts(model, WORDS, PARTS)
    assert torch.equal(in_parts(copy.deepcopy(model), WORDS, PARTS), wanted)
    attention = model.model.layers[0].self_attn
    assert pickle.loads(pickle.dumps(attention.__dict__["expand_kv"])) is attention.__dict__["expand_kv"]


def test_gradients_are_the_models_own() -> None:
    model: Any = small_model("deepseek_v3", torch.float64)
    names = [name for name, _ in model.named_parameters() if "kv_b_proj" in name or "kv_a_proj" in name]

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model(input_ids=WORDS[:, :12], use_cache=False).logits.square().mean().backward()
        return [model.get_parameter(name).grad.clone() for name in names]

    wanted = gradients()
    for scheme in ("rope", "rerope(window=1000)"):
        with longspan.attached(model, scheme), expansions(model) as seen:
            found = gradients()
        assert seen == []
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * float(b.abs().max()))


ONE_GRAPH = """
import torch, longspan
from transformers import DynamicCache
from pretrained.families import small_model
from pretrained.models import logits
words, model = torch.arange(3, 67)[None], small_model("minicpm3")
with longspan.attached(model, "rope"), torch.no_grad():
    expected = logits(model, words)
    graph = torch.compile(model, backend="eager", fullgraph=True)
    found = graph(input_ids=words, use_cache=False).logits
    cache = graph(input_ids=words[:, :63], past_key_values=DynamicCache(config=model.config)).past_key_values
    cached = graph(input_ids=words[:, 63:], past_key_values=cache).logits
for one, other in ((found, expected), (cached, expected[:, 63:])):
    torch.testing.assert_close(one, other, rtol=0, atol=5e-5 * float(expected.std()))
"""


def test_one_graph_stays_one_graph() -> None:
    """In a process of its own: type checks of the tests do not compile."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ONE_GRAPH], cwd=TESTS, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_mistral_4_has_no_automatic_class() -> None:
    torch.manual_seed(0)
    names = set(Mistral4Config().to_dict())
    sizes: dict[str, Any] = {name: value for name, value in SMALL.items() if name in names}
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e4, "llama_4_scaling_beta": 0.1}
    rope["original_max_position_embeddings"] = 16
    sizes |= {"num_key_value_heads": 4, "head_dim": 8, "rope_parameters": rope}
    model = matter(Mistral4ForCausalLM(Mistral4Config(**sizes)).eval())
    wanted = in_parts(model, WORDS, PARTS)
    with longspan.attached(model, "rope"), expansions(model) as seen:
        found = in_parts(model, WORDS, PARTS)
    assert seen == []
    torch.testing.assert_close(found, wanted, rtol=0, atol=3e-5 * float(wanted.std()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_what_is_found_by_watching(dtype: torch.dtype) -> None:
    model: Any = small_model("deepseek_v3", dtype)
    attention = model.model.layers[0].self_attn
    widths = latent_widths(attention)
    assert widths is not None
    assert (widths.latent, widths.rotary, widths.content, widths.value) == (16, 8, 16, 16)
    kind = type(attention)
    attention.__class__ = type("Doubled", (kind,), {"expand_kv": lambda s, a, b: kind.expand_kv(s, 2 * a, b)})
    assert latent_widths(attention) is None
    assert latent_widths(small_model("llama").model.layers[0].self_attn) is None


def test_eager_attention_keeps_its_weights() -> None:
    model: Any = small_model("deepseek_v3")
    model.set_attn_implementation("eager")
    with longspan.attached(model, "rope"):
        assert model(input_ids=WORDS, output_attentions=True).attentions[0].shape == (1, 4, 40, 40)


@pytest.mark.parametrize("scheme", ["rope", "rerope(window=6)"])
def test_what_is_watched_are_keys(scheme: str) -> None:
    """Diagnostics see each layer's weights over all keys, and the layers attend on latents afterwards as before."""
    model: Any = small_model("deepseek_v3")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "q_b_proj" in name:
                weight.zero_()
    seen: list[float] = []
    ids = WORDS[0].tolist()
    watch(Reader(model), scheme, ids, lambda rows: seen.append(float((rows.weights[:, -1] - 1 / len(ids)).abs().max())))
    assert len(seen) == 4
    assert max(seen) < 1e-6  # scores are all 0, and the last query gives each key the same
    assert EXPAND not in model.model.layers[0].self_attn.__dict__
