"""Sliding layers that an extension leaves alone: on long texts the same result without a mask of queries × keys."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, Qwen2Config, Qwen2ForCausalLM
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

import longspan
from longspan.pretrained.attach import extend
from pretrained.families import matter, small_config, small_model
from pretrained.models import in_parts, logits, sharpened, tokens

WINDOW = 16
WORDS = torch.randint(3, 119, (2, 4 * WINDOW), generator=torch.Generator().manual_seed(0))
FAMILIES = ("gemma3_text", "ministral", "cohere2", "llama4_text", "olmo3")


@pytest.fixture
def masks(monkeypatch) -> list:
    """The masks that transformers makes for its own attention function."""
    made, sdpa = [], ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]

    def noted(*args, **kwargs):
        made.append(sdpa(*args, **kwargs))
        return made[-1]

    monkeypatch.setitem(ALL_MASK_ATTENTION_FUNCTIONS, "sdpa", noted)
    return made


@pytest.mark.parametrize(
    ("family", "scheme"),
    [("gemma3_text", "yarn(factor=4)"), *itertools.product(FAMILIES, ["rope", "log_length(trained_length=32)"])],
)
def test_a_long_text_needs_no_mask(family, scheme, masks):
    model = small_model(family)
    with longspan.attached(model, scheme):
        masks.clear()  # of the self-test
        found = logits(model, WORDS)
        assert not [mask for mask in masks if mask is not None]
        parts = in_parts(model, WORDS, [WINDOW] * 4)  # short passes keep the model's own function and mask
        assert [mask for mask in masks if mask is not None]
    torch.testing.assert_close(parts, found, rtol=0, atol=5e-5 * float(found.std()))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sizes", [[64], [40, 24], [33, *[1] * 31]], ids=str)
def test_its_own_rotation_is_the_model(family, sizes):
    model = small_model(family)
    expected = logits(model, WORDS)
    with longspan.attached(model, "rope"):
        torch.testing.assert_close(in_parts(model, WORDS, sizes), expected, rtol=0, atol=5e-5 * float(expected.std()))
    assert torch.equal(logits(model, WORDS), expected)


def test_padding_and_packing_stay():
    model = small_model("gemma3_text")
    real = torch.ones_like(WORDS)
    real[1, :9] = 0
    packed = torch.cat([torch.arange(41), torch.arange(23)]).expand(2, -1)
    cases = {"padded": {"attention_mask": real}, "packed": {"position_ids": packed}}
    for name, given in cases.items():
        expected = logits(model, WORDS, **given)
        assert (expected - logits(model, WORDS)).std() > 0.01 * expected.std(), name
        with longspan.attached(model, "rope"):
            found = logits(model, WORDS, **given)
        torch.testing.assert_close(found[real > 0], expected[real > 0], rtol=0, atol=5e-5 * float(expected.std()))


def test_gradients_are_the_models(masks):
    model = small_model("gemma3_text")
    weight = next(model.parameters())

    def gradient():
        return torch.autograd.grad(model(input_ids=WORDS, labels=WORDS).loss, weight)[0]

    expected = gradient()
    with longspan.attached(model, "rope"):
        masks.clear()
        found = gradient()
        assert not [mask for mask in masks if mask is not None]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_a_window_in_both_directions_is_left_to_the_model(masks):
    model = matter(AutoModelForMaskedLM.from_config(small_config("modernbert"), dtype=torch.float32).eval())
    with torch.no_grad():
        expected = model(input_ids=WORDS).logits
        with longspan.attached(model, "rope"):
            masks.clear()
            assert torch.equal(model(input_ids=WORDS).logits, expected)
    assert [mask for mask in masks if mask is not None]


ONE_GRAPH = """
import torch, longspan
from transformers import DynamicCache
from pretrained.families import small_model
from pretrained.models import logits
words, model = torch.arange(3, 67)[None], small_model("gemma3_text")
with longspan.attached(model, "yarn(factor=4)"), torch.no_grad():
    expected = logits(model, words)
    graph = torch.compile(model, backend="eager", fullgraph=True)
    found = graph(input_ids=words, use_cache=False).logits
    left, between = torch.ones(2, 1, 64, dtype=torch.long)
    left[:, :5] = between[:, 20:40] = 0
    padded = logits(model, words, attention_mask=left)[:, 5:]
    graphed = graph(input_ids=words, attention_mask=left, use_cache=False).logits[:, 5:]
    try:
        graph(input_ids=words, attention_mask=between, use_cache=False)
    except RuntimeError as error:
        assert "pad on the left" in str(error)
    else:
        raise AssertionError("padding between tokens is read")
    cache = graph(input_ids=words[:, :50], past_key_values=DynamicCache(config=model.config)).past_key_values
    cached = graph(input_ids=words[:, 50:], past_key_values=cache).logits
for one, other in ((found, expected), (graphed, padded), (cached, expected[:, 50:])):
    torch.testing.assert_close(one, other, rtol=0, atol=5e-5 * float(expected.std()))
"""


def test_fixed_frequencies_stay_one_graph():
    """In a process of its own: type checks of the tests are no part of a graph."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", ONE_GRAPH], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


ROPES = {
    "dynamic": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4},
    "longrope": {
        "rope_type": "longrope",
        "factor": 4.0,
        "rope_theta": 1e4,
        "original_max_position_embeddings": 32,
        "short_factor": [1.0] * 8,
        "long_factor": [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0],
    },
}
"""Checkpoints that change their frequencies beyond 32 tokens."""


def changing(kind: str) -> Qwen2ForCausalLM:
    """A sliding layer and one that sees everything, which share their frequencies."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=97, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=32 if kind == "dynamic" else 128, use_sliding_window=True,
        sliding_window=24, layer_types=["sliding_attention", "full_attention"], rope_parameters=ROPES[kind],
        pad_token_id=0, bos_token_id=1, eos_token_id=None,
    )  # fmt: skip
    return sharpened(Qwen2ForCausalLM(config).eval())


@pytest.mark.parametrize("scheme", ["{0} + rerope(window=6)", "yarn(factor=4)", "linear(factor=4)", "log_length(8)"])
@pytest.mark.parametrize(("kind", "named"), [("dynamic", "dynamic_ntk"), ("longrope", "longrope")])
def test_what_was_read_before_an_extension_changes_nothing(kind: str, named: str, scheme: str) -> None:
    words, found = tokens(1, 60), []
    for before in (0, 20, 120):
        model = changing(kind)
        if before:
            logits(model, tokens(1, before))
        found.append(logits(extend(model, scheme.format(named)), words))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("length", [20, 64, 128])
@pytest.mark.parametrize("kind", ROPES)
def test_a_sliding_layer_follows_the_length_as_its_checkpoint_does(kind: str, length: int) -> None:
    """The last token is rotated by transformers for the whole text, and by us for those up to it, in powers of 2."""
    words, last = tokens(2, length), []
    for scheme in (None, "yarn(factor=4)"):
        model = changing(kind)
        if scheme is not None:
            extend(model, scheme)
        keep = model.model.layers[0].register_forward_hook(lambda _, args, output: last.append(output[:, -1]))
        logits(model, words)
        keep.remove()
    torch.testing.assert_close(last[1], last[0], rtol=0, atol=1e-5)
