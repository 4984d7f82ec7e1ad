"""Frames of cached keys: the table of `compute/decoding/frame.py`, and how much rotation remains for a step."""

import pytest
import torch
from torch import Tensor, nn

import longspan
from longspan import parse
from longspan.compute.decoding.frame import UNROTATED, Frame, shared_frame
from longspan.position_map import Divide
from longspan.pretrained import division
from longspan.pretrained.attachment import attachment_of
from pretrained.models import in_parts, logits, tiny_llama, tokens
from pretrained.test_attach import SCHEMES

W, LATE = 16, 1000
TABLE = {
    "rope": lambda p: p,
    "yarn(factor=4)": lambda p: p,
    "rope + window(16, sinks=2)": lambda p: p,
    "rope + log_length(32)": lambda p: p,
    "streaming_llm(sinks=2, size=16)": lambda p: p,
    "lm_infinite(window=16, sinks=2)": lambda p: p,
    "rerope(16)": lambda p: 0 * p,
    "rerope(16) + window(200)": lambda p: 0 * p,
    "rerope(16) + window(20)": lambda p: p,
    "leaky_rerope(window=16, k=4)": lambda p: p / 4,
    "leaky_rerope(window=16, k=0.5)": lambda p: p / 0.5,
    "self_extend(window=16, group=4)": lambda p: p // 4,
    "dual_chunk(chunk=20, local=4)": lambda p: p % 16,
    "dynamic_ntk(trained_length=32)": lambda p: 0 * p,
}


@pytest.mark.parametrize("scheme", TABLE)
def test_the_table(scheme):
    place = torch.arange(LATE)
    assert torch.equal(shared_frame([parse(scheme)]).position(place).double(), TABLE[scheme](place).double())


@pytest.mark.parametrize("scheme", TABLE)
def test_a_late_step_rotates_at_most_the_near_keys(scheme):
    made = parse(scheme)
    if scheme.startswith("dynamic_ntk"):
        assert shared_frame([made]) == UNROTATED
        return
    query, keys = torch.tensor(LATE), torch.arange(LATE)
    seen = made.mask(query, keys, causal=True)
    moved = torch.zeros(LATE, dtype=torch.bool)
    for branch in made.distance.branches():
        moved |= branch.holds(query, keys) & seen & (branch.key(keys) != shared_frame([made]).position(keys))
    assert moved.sum() <= W


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


def test_layers_that_share_frequencies_have_the_frame_of_most_of_their_keys():
    near, far = parse("rope + window(12)"), parse("leaky_rerope(8, k=4)")
    assert shared_frame([near, near, far]) == shared_frame([far]) == Frame(far.rotation, Divide(4.0))
    assert shared_frame([parse("rope(theta=1e6)"), far]) == UNROTATED


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


def test_frames_are_values():
    assert shared_frame([parse("leaky_rerope(8, k=4)")]) == shared_frame([parse("leaky_rerope(window=8, k=4)")])
    assert shared_frame([parse("rerope(8)")]) == shared_frame([parse("rerope(9)")]) == UNROTATED
