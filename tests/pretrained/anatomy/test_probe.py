"""Models with other heads than a language model's: what is extended is the text model below."""

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

import longspan
from longspan.errors import RefusalError
from longspan.pretrained.running.hooks import RotaryHook
from pretrained.models import TRAINED, tiny_llama, tokens

HEADS = {
    "none": AutoModel,
    "labels of texts": AutoModelForSequenceClassification,
    "labels of tokens": AutoModelForTokenClassification,
    "answers": AutoModelForQuestionAnswering,
}
WORDS = tokens(1, 2 * TRAINED)


def with_head(name: str, pad_token_id: int | None) -> PreTrainedModel:
    """The text model of `tiny_llama` under another head."""
    torch.manual_seed(0)
    model = HEADS[name].from_config(tiny_llama(pad_token_id=pad_token_id).config).eval()
    model.base_model.load_state_dict(tiny_llama().model.state_dict())
    return model


@torch.no_grad()
def outputs(model: nn.Module, words: Tensor) -> Tensor:
    """All numbers that a model gives."""
    found = model(input_ids=words, use_cache=False)
    return torch.cat([value.flatten() for value in found.to_tuple()])


@pytest.mark.parametrize("pad_token_id", [0, None])
@pytest.mark.parametrize("head", HEADS)
def test_the_text_model_is_extended_under_any_head(head, pad_token_id):
    model, causal = with_head(head, pad_token_id), tiny_llama()
    plain = outputs(model, WORDS)
    with longspan.attached(model, "rerope(window=1000)"):
        torch.testing.assert_close(outputs(model, WORDS), plain, rtol=0, atol=1e-4 * float(plain.std()))
    scheme = "rerope(window=8) + log_length"
    with longspan.attached(model, scheme), longspan.attached(causal, scheme), torch.no_grad():
        found = model.base_model(input_ids=WORDS).last_hidden_state
        assert torch.equal(found, causal.model(input_ids=WORDS).last_hidden_state)
        assert (outputs(model, WORDS) - plain).std() > 0.01 * plain.std()
    assert torch.equal(outputs(model, WORDS), plain)


@pytest.mark.parametrize("head", HEADS)
def test_a_wrong_frame_fails_the_self_test_under_any_head(monkeypatch, head):
    class Broken(RotaryHook):
        def __call__(self, module, args, kwargs):
            found = super().__call__(module, args, kwargs)
            return found and (args, kwargs)

    monkeypatch.setattr("longspan.pretrained.attachment.RotaryHook", Broken)
    with pytest.raises(RefusalError, match="differs from the model"):
        longspan.extend(with_head(head, None), "rerope(8)")
