"""A real model: SmolLM2-135M-Instruct, where `make smollm2` has put it in the user's cache."""

import pytest
import torch

import longspan
from longspan.errors import RefusalError
from pretrained.models import in_parts, logits
from pretrained.real import SMOLLM2 as FILE
from pretrained.real import words_of

LENGTH, DECODED = 320, 12

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="make smollm2 fetches the model")


@pytest.fixture(scope="module")
def model():
    return longspan.load(FILE).eval()


@pytest.fixture(scope="module")
def words():
    return words_of(FILE, LENGTH)


def test_plain_rope_through_frame_zero_is_the_model(model, words):
    def generated():
        prompt = words[:, :100]
        return model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=24, do_sample=False)

    expected, tokens = logits(model, words), generated()
    with longspan.attached(model, "rerope(window=100000)"):
        torch.testing.assert_close(logits(model, words), expected, rtol=0, atol=2e-4)
        assert torch.equal(generated(), tokens)
    assert torch.equal(logits(model, words), expected)


@pytest.mark.parametrize(
    "scheme",
    [
        "rerope(window=64)",
        "leaky_rerope(window=64, k=4)",
        "self_extend(window=64, group=4)",
        "window(size=64, sinks=4) + log_length(128)",
        "streaming_llm(size=64)",
    ],
)
def test_decoding_is_reading_at_once(model, words, scheme):
    with longspan.attached(model, scheme):
        expected = logits(model, words)
        found = in_parts(model, words, [LENGTH - DECODED, *[1] * DECODED])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_a_gguf_model_is_saved_as_safetensors(model, words, tmp_path):
    with longspan.attached(model, "rerope(window=64)"):
        expected = logits(model, words[:, :100])
        folder = longspan.save(model, tmp_path / "model")
    assert torch.equal(logits(longspan.load(folder).eval(), words[:, :100]), expected)


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "cut.gguf"
    path.write_bytes(FILE.read_bytes()[: FILE.stat().st_size // 2])
    with pytest.raises(RefusalError, match="fetch it again"):
        longspan.load(path)
