"""The self-test notices positions that are wrong, and passes models that only look as if something was."""

import pytest
import torch

import longspan
from longspan.errors import RefusalError
from longspan.pretrained.running.hooks import RotaryHook
from pretrained.models import logits, tiny_llama, tokens


@pytest.mark.parametrize("scheme", ["rerope(8)", "leaky_rerope(window=8, k=4)", "streaming_llm(sinks=2, size=16)"])
def test_a_wrong_frame_fails_the_self_test(monkeypatch, scheme):
    class Tilted(RotaryHook):
        def __call__(self, module, args, kwargs):
            given = super().__call__(module, args, kwargs)
            return given and self.arguments.put("position_ids", self.arguments.get("position_ids", *given) + 2, *given)

    monkeypatch.setattr("longspan.pretrained.attachment.RotaryHook", Tilted)
    model = tiny_llama()
    longspan.extend(model, scheme)  # the same rotation of all tokens changes no distance: it must pass
    longspan.detach(model)

    class Broken(RotaryHook):
        def __call__(self, module, args, kwargs):
            found = super().__call__(module, args, kwargs)
            return found and (args, kwargs)

    monkeypatch.setattr("longspan.pretrained.attachment.RotaryHook", Broken)
    with pytest.raises(RefusalError, match="differs from the model"):
        longspan.extend(model, scheme)


def test_eager_attention_in_float64_is_extended():
    """There, the model itself gives NaN for a row behind padding."""
    words = tokens(2, 70)
    model = tiny_llama().double()
    model.set_attn_implementation("eager")
    plain = logits(model, words)
    padded = torch.cat([torch.zeros_like(words[:1, :9]), words[:1]], 1)
    mask = (torch.arange(padded.shape[1]) >= 9).long()[None]
    assert logits(model, padded, attention_mask=mask).isnan().all()
    with longspan.attached(model, "rerope(window=1000)"):
        torch.testing.assert_close(logits(model, words), plain, rtol=0, atol=1e-5)
        found = logits(model, padded, attention_mask=mask)
        torch.testing.assert_close(found[:, 9:], plain[:1], rtol=0, atol=1e-5)
