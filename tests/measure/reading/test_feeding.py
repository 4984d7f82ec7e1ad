import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.measure.reading.feeding import SHORTEST, feeds, tail_length


@given(st.integers(SHORTEST, 300), st.data())
def test_every_last_token_is_scored_once_with_nearly_the_whole_context(length: int, data: st.DataObject) -> None:
    context = data.draw(st.integers(SHORTEST, length))
    tail = data.draw(st.integers(1, max(1, length // 8)))
    plan = feeds(length, context, tail)
    scored = [token for feed in plan for token in range(feed.scored, feed.stop)]
    assert scored == list(range(length - tail, length))
    for feed in plan:
        assert feed.stop - feed.start <= context
        for token in range(feed.scored, feed.stop):
            seen = token - feed.start
            assert seen < context
            assert seen >= min(context - context // 8, token)


def test_the_tail_fits_every_context_and_one_feed_at_the_wanted_length() -> None:
    assert tail_length(512, 4096) == 128
    assert tail_length(8192, 16384) == 1024
    assert tail_length(8192, 4096) == 512
    assert len(feeds(16384, 16384, 1024)) == len(feeds(16384, 8192, 1024)) == 1


def test_feeding_keeps_the_length_with_an_opening() -> None:
    document = list(range(100, 200))
    (feed,) = feeds(100, 100, 5)
    assert feed.ids(document) == document
    assert feed.ids(document, (1, 2)) == [1, 2, *document[2:]]


@pytest.mark.parametrize(("context", "tail"), [(7, 5), (101, 5), (50, 0), (50, 100)])
def test_what_does_not_fit_is_refused(context: int, tail: int) -> None:
    with pytest.raises(InputError):
        feeds(100, context, tail)
