"""What a scheme means on a given model: recipes by their bare names, and checkpoints with a rescaling of their own."""

import pytest
import torch

import longspan
from longspan.catalogue import RECIPE, methods
from longspan.errors import RefusalError
from longspan.measure.models.method import filled
from longspan.measure.models.source import geometry_of
from longspan.pretrained.attachment import attachment_of
from pretrained.models import TRAINED, in_parts, logits, tiny_llama, tokens

RECIPES = {
    "streaming_llm": "cache_relative(size=32) + window(size=28, sinks=4)",
    "lm_infinite": "rerope(window=32) + window(size=32, sinks=10)",
    "window_baseline": "rope + window(size=32)",
    "hwfa": "nope needs training",
    "hwfa2": (
        "per_layer('AB', A=rope(theta=10000.0) + window(size=32), "
        "B=rope(theta=10000.0) + log_length(trained_length=32, form='training'))"
    ),
    "xpos_bca": "xpos lets pairs shrink",
}
"""What each means on the tiny model, or why it is refused."""


def text_of(model) -> str:
    attachment = attachment_of(model)
    assert attachment is not None
    return attachment.text


def test_every_recipe_is_here():
    assert {name for name, method in methods().items() if method.slot == RECIPE} == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_by_its_bare_name_takes_what_it_needs_from_the_model(name):
    model, words = tiny_llama(), tokens(1, 2 * TRAINED + 6)
    if "needs training" in RECIPES[name] or "shrink" in RECIPES[name]:
        with pytest.raises(RefusalError, match=RECIPES[name]):
            longspan.extend(model, name)
        return
    plain = logits(model, words)
    with longspan.attached(model, name):
        assert text_of(model) == RECIPES[name]
        found = logits(model, words)
        assert (found - plain).abs().max() > 1e-3
        torch.testing.assert_close(in_parts(model, words, [40, *[1] * 30]), found, rtol=0, atol=2e-5)


# --- checkpoints with a rescaling of their own ------------------------------------------------------------------------

YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": TRAINED}
LONG = (1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0)
SWITCH = 256
"""Tokens from which on the checkpoint takes its long factors."""
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": SWITCH,
    "short_factor": [1.0] * 8,
    "long_factor": list(LONG),
}
HONEST = f"longrope(factor=4, long={LONG}, short={(1.0,) * 8})"


def rescaled(rope: dict, **more):
    length = 4 * rope["original_max_position_embeddings"]
    return tiny_llama(max_position_embeddings=length, rope_parameters=rope, **more)


@pytest.mark.parametrize("method", ["linear", "ntk", "ntk_mixed", "ntk_by_parts", "yarn", "longrope", "llama3"])
def test_a_named_rescaling_starts_from_the_length_before_the_checkpoints_own(method):
    model, length = rescaled(YARN), 16 * TRAINED
    text = filled(f"{method} + log_length", geometry_of(model), length)
    with longspan.attached(model, f"{method} + log_length", length=length):
        closed = text_of(model)
    with longspan.attached(model, text, length=length):
        assert text_of(model) == closed
    assert "log_length(trained_length=128)" in closed
    assert "factor=16" in closed


def test_a_checkpoint_with_longrope_keeps_its_own_switch_when_it_is_reproduced():
    """It takes its long factors for a whole call, which a mask or a scale that changes nothing must not disturb."""
    model, words = rescaled(LONGROPE), tokens(1, SWITCH + 20)
    rotary, own = model.model.rotary_emb, []
    hook = rotary.register_forward_hook(lambda module, *_: own.append(module.get_buffer("inv_freq").clone()))
    for part in (words[:, :SWITCH], words):
        plain = logits(model, part)
        for scheme in ("window(size=1000)", "log_length(trained_length=1000)"):
            with longspan.attached(model, scheme):
                own.clear()
                torch.testing.assert_close(logits(model, part), plain, rtol=0, atol=2e-5)
        assert torch.equal(own[-1], rotary.get_buffer("original_inv_freq")) == (part.shape[1] <= SWITCH)
    hook.remove()


def test_the_honest_form_gives_each_row_the_factors_of_its_own_length():
    """In one layer each row is what the checkpoint itself makes of a call that ends there."""
    model, words = rescaled(LONGROPE, num_hidden_layers=1), tokens(1, SWITCH + 20)
    short, long = logits(model, words[:, :SWITCH]), logits(model, words)
    assert (long[:, :SWITCH] - short).std() > 0.05 * short.std()
    expected = torch.cat([short, long[:, SWITCH:]], 1)
    with longspan.attached(model, HONEST):
        torch.testing.assert_close(logits(model, words), expected, rtol=0, atol=5e-5)
        parts = in_parts(model, words, [SWITCH - 3, *[1] * 23])
    torch.testing.assert_close(parts, expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize("scheme", ["rerope(8)", "leaky_rerope(window=8, k=4)", "streaming_llm(sinks=2, size=16)"])
def test_a_distance_on_a_checkpoint_that_switches_wants_its_rotation_named(scheme):
    model, words = rescaled(LONGROPE), tokens(1, SWITCH + 20)
    with pytest.raises(RefusalError, match="changes its own frequencies"):
        longspan.extend(model, scheme)
    with longspan.attached(model, f"{HONEST} + {scheme}"):
        at_once = logits(model, words)
        parts = in_parts(model, words, [SWITCH - 6, 10, *[1] * 16])
    torch.testing.assert_close(parts, at_once, rtol=0, atol=5e-5)
