"""Self-Extend is neighbor attention and grouped attention, merged by the neighbor window."""

import numpy as np
import pytest
import torch

from by_hand import BACKENDS, drawn, output, scores, tensors
from longspan import Geometry, attend, parse
from longspan.distance.self_extend import SelfExtend
from longspan.errors import SchemeError

PLACES = 40
GEOMETRY = Geometry(8, 8, 16, trained_length=4096)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("window", "group"), [(8, 4), (9, 4), (1, 3), (0, 5), (39, 2)])
def test_attention_is_the_two_merged_attentions(backend: str, window: int, group: int) -> None:
    q, k, v = drawn(PLACES)
    place = np.arange(PLACES)
    neighbor = scores(q, k, place, place)
    shift = window - window // group
    grouped = scores(q, k, place // group + shift, place // group)
    merged = np.where(np.tri(PLACES, k=-window, dtype=bool), grouped, neighbor)
    out = attend(*tensors(q, k, v), parse(f"self_extend({window}, {group})"), backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, output(merged, v), rtol=0, atol=1e-13)


def test_distance_matrix() -> None:
    wanted = [[m - n if m - n < 5 else m // 3 - n // 3 + 5 - 5 // 3 for n in range(20)] for m in range(20)]
    i, j = (torch.from_numpy(x) for x in np.indices((20, 20)))
    assert SelfExtend(5, 3)(i, j).tolist() == wanted


def test_a_group_of_one_is_rope() -> None:
    q, k, v = tensors(*drawn(PLACES))
    assert torch.equal(
        attend(q, k, v, "self_extend(5, 1)", backend="reference"), attend(q, k, v, "rope", backend="reference")
    )


def test_neutral_settings() -> None:
    assert SelfExtend(5, 1).changes_nothing(PLACES)
    assert not SelfExtend(5, 2).changes_nothing(PLACES)
    assert not SelfExtend(group=2).changes_nothing(PLACES)


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(SchemeError, match="window must be at least 0, got -1"):
        SelfExtend(-1)
    with pytest.raises(SchemeError, match="group must be at least 1, got 0"):
        SelfExtend(4, 0)


def test_neighbors_alone_are_rope() -> None:
    q, k, v = tensors(*drawn(PLACES))
    assert torch.equal(
        attend(q, k, v, f"self_extend({PLACES}, 4)", backend="reference"), attend(q, k, v, "rope", backend="reference")
    )
    assert SelfExtend(PLACES, 4).changes_nothing(PLACES)
    assert not SelfExtend(PLACES - 1, 4).changes_nothing(PLACES)


def test_it_is_leaky_rerope_but_for_rounding() -> None:
    i, j = (torch.from_numpy(x) for x in np.indices((200, 200)))
    r = i - j
    leaky = torch.where(r < 9, r.double(), 9 + (r - 9) / 4)
    difference = (SelfExtend(9, 4)(i, j) - leaky)[r >= 0]
    assert difference.min() == -0.5
    assert difference.max() == 1.0


@pytest.mark.parametrize(("group", "capacity"), [(8, 25600), (16, 50176)])
def test_capacity(group: int, capacity: int) -> None:
    """The values of the authors' README for Llama-2, and no distance reaches the trained length at them."""
    method = SelfExtend(1024, group)
    assert method.capacity(4096) == capacity
    i, j = torch.tensor(capacity - 1), torch.arange(capacity)
    assert method(i, j).max() == (capacity - 1) // group + 1024 - 1024 // group < 4096
    assert method(i + group, j).max() >= 4096


def test_fill_keeps_distances_within_half_the_trained_length() -> None:
    """15 would do for 16384 tokens; 16 divides the window as well."""
    assert SelfExtend().fill(GEOMETRY, 16384) == SelfExtend(1024, 16)
    assert SelfExtend(1024).fill(GEOMETRY, 8192) == SelfExtend(1024, 8)
    assert SelfExtend(1021).fill(GEOMETRY, 8192).group == 7
    assert SelfExtend(group=3).fill(GEOMETRY, 8192) == SelfExtend(1024, 3)
    assert SelfExtend().fill(GEOMETRY, 1024).group == 1
    with pytest.raises(SchemeError, match="give group, or a window below 2048"):
        SelfExtend(3000).fill(GEOMETRY, 8192)


@pytest.mark.parametrize(
    ("window", "length", "least", "group"), [(1023, 3000, 2, 3), (25, 4000, 2, 2), (1024, 16000, 15, 16)]
)
def test_fill_rounds_up_to_a_divisor_within_twice_the_least(window: int, length: int, least: int, group: int) -> None:
    """1023 = 3 · 341, and 3 is below 2 · 2; the next divisor of 25 is 5, and 5 is not."""
    assert window + (length - window) / least <= 2048 < window + (length - window) / (least - 1)
    assert SelfExtend(window).fill(GEOMETRY, length).group == group


def test_fill_at_the_edge_of_the_window() -> None:
    assert SelfExtend(2048).fill(GEOMETRY, 2048).group == 1
    with pytest.raises(SchemeError, match="give group, or a window below 2048"):
        SelfExtend(2048).fill(GEOMETRY, 2049)
    # 4 + (5 − 4) / G is at most 9 / 2 for G = 2.
    assert SelfExtend(4).fill(Geometry(8, 8, 16, trained_length=9), 5).group == 2


def test_only_causal() -> None:
    with pytest.raises(SchemeError, match="self_extend is causal only"):
        parse("self_extend(4, 2) + bidirectional")
