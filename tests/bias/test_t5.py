"""Outside sources: transformers' T5, x-transformers, and known values of the bucket function."""

from typing import Literal

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.t5.modeling_t5 import T5Attention
from x_transformers.x_transformers import RelativePositionBias

from longspan import attend
from longspan.bias.t5 import T5
from longspan.errors import SchemeError

Sides = Literal["past", "both"]
SETTINGS = [(32, 128), (32, 1000), (8, 20), (9, 40), (4, 3)]


def test_known_buckets_of_the_past() -> None:
    distances = torch.tensor([0, 1, 15, 16, 17, 20, 32, 64, 112, 113, 128, 1000])
    assert T5().bucket(distances).tolist() == [0, 1, 15, 16, 16, 17, 21, 26, 30, 31, 31, 31]


def test_known_buckets_of_both_sides() -> None:
    """relative = i − j: a key after the query is negative."""
    relative = torch.tensor([200, 8, 7, 1, 0, -1, -7, -8, -128])
    assert T5(sides="both").bucket(relative).tolist() == [15, 8, 7, 1, 0, 17, 23, 24, 31]


@pytest.mark.parametrize("sides", ["past", "both"])
@pytest.mark.parametrize(("buckets", "max_distance"), SETTINGS)
def test_buckets_are_those_of_transformers(buckets: int, max_distance: int, sides: Sides) -> None:
    relative = torch.arange(-1500, 1501)
    theirs = T5Attention._relative_position_bucket(-relative, sides == "both", buckets, max_distance)
    assert torch.equal(T5(buckets, max_distance, sides).bucket(relative), theirs)


def test_two_buckets_are_those_of_transformers() -> None:
    """The fewest of the past: the query itself, and all others."""
    relative = torch.arange(10)
    theirs = T5Attention._relative_position_bucket(-relative, False, 2, 3)
    assert T5(2, 3).bucket(relative).tolist() == theirs.tolist() == [0] + 9 * [1]


def test_later_keys_share_the_bucket_of_the_query() -> None:
    assert not T5().bucket(-torch.arange(300)).any()


def test_a_place_between_two_counts_as_the_lower_distance() -> None:
    relative = torch.tensor([0.5, 16.9, 19.999, 112.5, -0.5, -7.9], dtype=torch.float64)
    for sides in ("past", "both"):
        part = T5(sides=sides)
        below = part.bucket(relative.trunc().long())
        assert part.bucket(relative)[:4].tolist() == below[:4].tolist()
    assert T5(sides="both").bucket(relative)[4:].tolist() == [16, 23]


@pytest.mark.parametrize("causal", [True, False])
def test_bias_is_that_of_x_transformers(causal: bool) -> None:
    theirs = RelativePositionBias(scale=1.0, causal=causal, heads=6)
    place = torch.arange(200)
    part = T5(sides="past" if causal else "both")
    table = {"table": theirs.relative_attention_bias.weight}
    ours = part(place[:, None] - place, torch.arange(6)[:, None, None], 6, table)
    assert torch.equal(ours, theirs(200, 200))


@pytest.mark.parametrize("sides", ["past", "both"])
@pytest.mark.parametrize(("buckets", "max_distance"), SETTINGS)
def test_is_constant_from_the_claimed_distance_on(buckets: int, max_distance: int, sides: Sides) -> None:
    part = T5(buckets, max_distance, sides)
    bucket = part.bucket(torch.arange(3000))
    assert (bucket[part.constant_beyond :] == bucket[-1]).all()
    assert bucket[part.constant_beyond - 1] != bucket[-1]


def test_is_constant_from_113_on_at_the_papers_setting() -> None:
    assert T5().constant_beyond == 113


def test_a_table_of_zeros_is_attention_without_positions_and_without_a_scale() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    weights = {"bias.table": torch.zeros(32, 4)}
    wanted = scaled_dot_product_attention(query, key, value, is_causal=True, scale=1.0)
    torch.testing.assert_close(attend(query, key, value, "t5", weights=weights), wanted)
    assert not T5().initial_weights(4, 8)["table"].any()


@pytest.mark.parametrize(
    ("buckets", "max_distance", "sides"), [(1, 128, "past"), (3, 128, "both"), (32, 16, "past"), (32, 8, "both")]
)
def test_refuses_buckets_that_cannot_grow(buckets: int, max_distance: int, sides: Sides) -> None:
    with pytest.raises(SchemeError, match=r"t5: (buckets|max_distance) must be"):
        T5(buckets, max_distance, sides)
