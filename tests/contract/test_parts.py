"""What the fast code may rely on: branches cover each pair once, intervals are monotone, segments cover every row."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.drawing import HEAD_DIM, LENGTH, default, names, part
from longspan.catalogue import methods
from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.mask.bidirectional import Bidirectional
from longspan.mask.causal import Causal
from longspan.notation import parse
from longspan.scheme import Scheme
from longspan.slots import Distance, Mask, Rotation

PLACES = 3 * LENGTH


@pytest.mark.parametrize("name", names("distance"))
@given(data=st.data())
def test_exactly_one_branch_holds_and_says_the_distance(name: str, data: st.DataObject) -> None:
    distance = data.draw(part(name))
    assert isinstance(distance, Distance)
    start = data.draw(st.integers(0, 1000))
    query, key = torch.arange(PLACES)[:, None] + start, torch.arange(PLACES)[None] + start
    pairs = key <= query if distance.causal_only else torch.ones(PLACES, PLACES, dtype=torch.bool)
    held = torch.zeros(PLACES, PLACES, dtype=torch.int64)
    for branch in distance.branches():
        holds = branch.holds(query, key)
        held += holds
        mapped = (branch.query(query[..., None]) - branch.key(key[..., None])).double()
        definition = torch.stack(
            [section(query, key).double().expand(PLACES, PLACES) for section in distance.per_section()], -1
        )
        mapped = mapped.expand_as(definition)
        torch.testing.assert_close(mapped[holds & pairs], definition[holds & pairs], rtol=0, atol=1e-12)
    assert (held == 1).all()


@pytest.mark.parametrize("name", [*names("distance"), *names("rotation")])
@given(trained=st.integers(16, 2**20), times=st.sampled_from([2, 8, 32]))
def test_a_method_that_leaves_all_numbers_open_changes_something_beyond_the_trained_length(
    name: str, trained: int, times: int
) -> None:
    own = getattr(parse(name), methods()[name].slot)
    length = times * trained
    assert not own.fill(Geometry(4, 4, HEAD_DIM, trained), length).changes_nothing(length)


@pytest.mark.parametrize("name", names("distance"))
@given(data=st.data())
def test_distance_is_odd_where_both_directions_are_allowed(name: str, data: st.DataObject) -> None:
    distance = data.draw(part(name))
    assert isinstance(distance, Distance)
    if distance.causal_only:
        with pytest.raises(SchemeError, match="causal only"):
            Scheme.of(distance, Bidirectional())
        return
    query, key = torch.arange(PLACES)[:, None], torch.arange(PLACES)[None]
    torch.testing.assert_close(distance(query, key), -distance(key, query), rtol=0, atol=0)


@pytest.mark.parametrize("name", names("mask"))
@pytest.mark.parametrize("direction", [Causal(), Bidirectional()])
@given(data=st.data())
def test_interval_is_monotone_and_counted(name: str, direction: Causal | Bidirectional, data: st.DataObject) -> None:
    mask = data.draw(part(name))
    assert isinstance(mask, Mask)
    length = data.draw(st.integers(1, PLACES))
    order = torch.arange(length)
    for bound in mask.interval(order, direction.causal):
        assert (bound.diff() >= 0).all()
    seen = mask(order[:, None], order[None], direction.causal)
    assert seen.diagonal().all(), "a token sees itself"
    count = mask.count(order, torch.full_like(order, length), direction.causal)
    torch.testing.assert_close(count, seen.sum(1), rtol=0, atol=0)


@pytest.mark.parametrize("name", names("rotation"))
@given(data=st.data())
def test_segments_cover_every_row_once(name: str, data: st.DataObject) -> None:
    rotation = data.draw(part(name))
    assert isinstance(rotation, Rotation)
    length = data.draw(st.integers(1, 10 * PLACES))
    segments = rotation.segments(length)
    assert segments[0].start < 0
    assert segments[-1].stop >= length
    assert all(a.stop == b.start for a, b in pairwise(segments))
    assert all(len(s.rotation.segments(length)) == 1 for s in segments), "a segment's rotation is static"
    shorter = rotation.segments(max(1, length // 2))
    assert [s.rotation for s in shorter] == [s.rotation for s in segments][: len(shorter)], "length only adds segments"


@pytest.mark.parametrize("name", names("rotation"))
def test_spectrum_is_exact_and_never_grows(name: str) -> None:
    rotation = default(name)
    assert isinstance(rotation, Rotation)
    spectrum = rotation.spectrum(HEAD_DIM)
    assert spectrum.frequencies.dtype == torch.float64
    assert (spectrum.frequencies > 0).all()
    assert (spectrum.log_decay <= 0).all()
    assert spectrum.rotary_dim <= HEAD_DIM
    assert ((spectrum.axis >= 0) & (spectrum.axis < rotation.num_axes)).all()
