"""A real model with sliding layers and two ropes: Gemma-3-270M, where `make gemma3` has put it in the user's cache."""

import pytest
import torch

import longspan
from longspan.pretrained.attachment import attachment_of
from pretrained.models import in_parts, logits
from pretrained.real import GEMMA3, words_of

LENGTH, DECODED = 700, 12
"""Longer than the sliding window of 512."""

pytestmark = pytest.mark.skipif(not GEMMA3.exists(), reason="make gemma3 fetches the model")


@pytest.fixture(scope="module")
def model():
    return longspan.load(GEMMA3).eval()


@pytest.fixture(scope="module")
def words():
    return words_of(GEMMA3, LENGTH)


def test_it_has_sliding_layers_and_two_ropes(model):
    with longspan.attached(model, "rerope(window=100)") as extended:
        attachment = attachment_of(extended)
        assert attachment is not None
        layers, (far, near) = attachment.anatomy.layers, attachment.anatomy.sources()[::-1]
    assert {layer.local_size for layer in layers} == {None, 512}
    assert near.frequencies[-1] > far.frequencies[-1]
    assert {source.layer_type for source in attachment.work.frames} == {far.layer_type}
    assert [rest is None for rest in attachment.work.remaining] == [bool(layer.local_size) for layer in layers]


def test_plain_rope_through_frame_zero_is_the_model(model, words):
    def generated():
        prompt = words[:, :505]
        return model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=16, do_sample=False)

    expected, tokens = logits(model, words), generated()
    for scheme in ("rerope(window=100000)", "leaky_rerope(window=100000, k=4)"):
        with longspan.attached(model, scheme):
            torch.testing.assert_close(logits(model, words), expected, rtol=0, atol=2e-4)
            assert torch.equal(generated(), tokens)
    assert torch.equal(logits(model, words), expected)


@pytest.mark.parametrize(
    "scheme", ["rerope(window=256)", "leaky_rerope(window=256, k=4)", "window(size=128, sinks=4) + log_length(256)"]
)
def test_decoding_is_reading_at_once(model, words, scheme):
    with longspan.attached(model, scheme):
        expected = logits(model, words)
        found = in_parts(model, words, [LENGTH - DECODED, *[1] * DECODED])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
