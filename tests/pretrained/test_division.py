"""What rotary modules do, and what remains for attention: the same output, whoever rotates."""

import pytest
import torch
from torch import Tensor, nn

import longspan
from longspan.compute.decoding.frame import UNROTATED
from longspan.pretrained import division
from longspan.pretrained.attachment import attachment_of
from pretrained.models import in_parts, logits, tiny_llama, tokens
from pretrained.test_attach import SCHEMES


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_rotary_module_gets_mapped_positions_and_nothing_changes(monkeypatch, scheme):
    """A second route: keys are cached unrotated, and attention does the whole rotation."""
    model, words = tiny_llama(), tokens(2, 70)
    with longspan.attached(model, scheme):
        found = in_parts(model, words, [40, 20, *[1] * 10])
    monkeypatch.setattr(division, "shared_frame", lambda _: UNROTATED)
    with longspan.attached(model, scheme):
        attachment = attachment_of(model)
        assert attachment is not None
        assert set(attachment.work.frames.values()) == {UNROTATED}
        torch.testing.assert_close(found, logits(model, words), rtol=0, atol=5e-5)


def positions_given(model, scheme: str, words: Tensor, **more) -> list[Tensor]:
    """The positions that the rotary module receives."""
    received = []
    rotary = model.model.rotary_emb
    with longspan.attached(model, scheme):
        hook = rotary.register_forward_pre_hook(
            lambda _, args, kwargs: received.append(kwargs["position_ids"]), with_kwargs=True
        )
        in_parts(model, words, [words.shape[1] - 2, 1, 1], **more)
        hook.remove()
    return received


def test_a_padded_row_gets_the_positions_that_it_would_get_alone():
    model, words = tiny_llama(), tokens(2, 24)
    mask = torch.ones_like(words)
    mask[1, :7] = 0
    (first, *later) = positions_given(model, "self_extend(window=8, group=4)", words, mask=mask)
    assert torch.equal(first[0], torch.arange(22) // 4)
    assert torch.equal(first[1, 7:], torch.arange(15) // 4)
    assert [step.tolist() for step in later] == [[[22 // 4], [15 // 4]], [[23 // 4], [16 // 4]]]


def test_the_self_test_rotates_something_where_the_method_rotates_little():
    model = tiny_llama()
    with longspan.attached(model, "yarn(factor=2) + streaming_llm(sinks=2, size=16)"):
        attachment = attachment_of(model)
        assert attachment is not None
        work, anatomy = attachment.work, attachment.anatomy
        assert list(work.rotations.values()) == [work.frames[anatomy.sources()[0]].rotation]
        plain = division.plain_work(anatomy, work)
        assert list(plain.frames.values()) == [UNROTATED]
        assert all(rest is not None and rest.rotation == anatomy.layers[0].spectrum() for rest in plain.remaining)


class Gainless(nn.Module):
    """A rotary module whose cosine and sine have no factor."""

    def __init__(self, inv_freq: Tensor) -> None:
        super().__init__()
        self.register_buffer("inv_freq", inv_freq, persistent=False)

    def forward(self, x, position_ids):
        angle = (position_ids[..., None].float() * self.inv_freq).repeat(1, 1, 2)
        return angle.cos(), angle.sin()


def test_a_rotary_module_without_a_gain_leaves_the_whole_rotation_to_attention():
    model, words = tiny_llama(), tokens(1, 70)
    with longspan.attached(model, "yarn(factor=4)"):
        expected = logits(model, words)
    model.model._modules["rotary_emb"] = Gainless(model.model.rotary_emb.inv_freq)
    with longspan.attached(model, "yarn(factor=4)"):
        torch.testing.assert_close(logits(model, words), expected, rtol=0, atol=2e-5)
