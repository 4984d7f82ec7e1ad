import pytest

from longspan.errors import InputError
from longspan.prompts.sequence import SequenceExample

EXAMPLE = SequenceExample((5, 50, 6, 60, 1, 6, 2, 5), {5: 60, 7: 50}, context=4)


def test_the_score_is_the_share_of_targets() -> None:
    assert EXAMPLE.score({5: 60, 7: 50}) == 1
    assert EXAMPLE.score({5: 60, 7: 51}) == 0.5
    assert EXAMPLE.score({0: 60}) == 0
    assert EXAMPLE.error({5: 58, 7: 51}) == 1.5


def test_truncation_moves_the_targets() -> None:
    assert EXAMPLE.truncated(3) == SequenceExample((6, 2, 5), {0: 60, 2: 50}, 0)
    assert EXAMPLE.truncated(6) == SequenceExample((6, 60, 1, 6, 2, 5), {3: 60, 5: 50}, 2)
    assert EXAMPLE.truncated(99) == EXAMPLE


def test_without_its_context_only_targets_are_left() -> None:
    assert EXAMPLE.controls == {"without_context": EXAMPLE.truncated(4)}
    assert SequenceExample((1, 1), {0: 1}).controls == {}


def test_nothing_to_predict_is_refused() -> None:
    with pytest.raises(InputError, match="the last 1 of 3 tokens hold nothing to predict"):
        SequenceExample((1, 2, 3), {0: 2}).truncated(1)
