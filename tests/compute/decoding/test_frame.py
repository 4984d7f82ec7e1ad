"""Frames of cached keys: the table of the module's docstring, and how much rotation remains for a step."""

import pytest
import torch

from longspan import parse
from longspan.compute.decoding.frame import UNROTATED, Frame, layer_frame, shared_frame
from longspan.position_map import Divide, Identity, Modulo

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


def test_layers_that_share_frequencies_have_the_frame_of_most_of_their_keys():
    near, far = parse("rope + window(12)"), parse("leaky_rerope(8, k=4)")
    assert shared_frame([near, near, far]) == shared_frame([far]) == Frame(far.rotation, Divide(4.0))
    assert shared_frame([parse("rope(theta=1e6)"), far]) == UNROTATED


def test_frames_are_values():
    assert shared_frame([parse("leaky_rerope(8, k=4)")]) == shared_frame([parse("leaky_rerope(window=8, k=4)")])
    assert shared_frame([parse("rerope(8)")]) == shared_frame([parse("rerope(9)")]) == UNROTATED


def test_a_layer_of_its_own_has_a_frame_also_where_its_rotation_decays():
    """Whole blocks whose keys grow by no more than their type holds."""
    decaying = layer_frame(parse("xpos(scale_base=64)"), 8, torch.float32)
    assert isinstance(decaying, Modulo)
    assert decaying.period % 64 == 0
    assert layer_frame(parse("rope"), 8, torch.float32) == Identity()
    assert layer_frame(parse("nope"), 8, torch.float32) is None
    assert layer_frame(parse("rerope(16)"), 8, torch.float32) is None
