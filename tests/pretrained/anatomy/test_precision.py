"""Weights are float32 for a while, and afterwards what they were, where they were."""

import pytest
import torch

import longspan
from longspan.errors import RefusalError
from longspan.pretrained import attachment
from longspan.pretrained.anatomy.precision import in_float32
from longspan.pretrained.running.hooks import RotaryHook
from pretrained.models import logits, tiny_llama

TOKENS = torch.arange(5, 25)[None]


def test_every_weight_comes_back_in_its_own_memory():
    model = tiny_llama().bfloat16()
    before = [(parameter.data_ptr(), parameter.dtype, parameter.clone()) for parameter in model.parameters()]

    def interrupted() -> None:
        with in_float32(model):
            logits(model, TOKENS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for (place, dtype, value), parameter in zip(before, model.parameters(), strict=True):
        assert (parameter.data_ptr(), parameter.dtype) == (place, dtype)
        assert torch.equal(parameter, value)


def test_logits_are_those_of_the_widened_model():
    model = tiny_llama().bfloat16()
    with in_float32(model):
        read = logits(model, TOKENS)
    torch.testing.assert_close(read, logits(model.float(), TOKENS), rtol=0, atol=0)


def test_self_test_of_a_bfloat16_model_sees_what_rounding_would_hide(monkeypatch):
    class Drifting(RotaryHook):
        """Gives positions that are too large by half a percent."""

        def __call__(self, module, args, kwargs):
            given = super().__call__(module, args, kwargs) or (args, kwargs)
            mapped = self.arguments.get("position_ids", *given)
            return self.arguments.put("position_ids", mapped * 1.005, *given)

    monkeypatch.setattr(attachment, "RotaryHook", Drifting)
    with pytest.raises(RefusalError, match=r"allowed 1e-03"):
        longspan.extend(tiny_llama().bfloat16(), "window(size=8)")
