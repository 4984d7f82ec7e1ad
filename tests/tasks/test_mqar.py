from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.prompts.sequence import SequenceExample
from longspan.task import Material
from longspan.tasks.mqar import MultiQueryRecall

NOTHING = Material(None)


def recalled(example: SequenceExample) -> dict[int, int]:
    """What followed a token when it was a key of the pairs, wherever it occurs after them."""
    pairs = dict(zip(example.ids[: example.context : 2], example.ids[1 : example.context : 2], strict=True))
    return {i: pairs[token] for i, token in enumerate(example.ids) if i >= example.context and token in pairs}


@settings(max_examples=30)
@given(st.integers(16, 900), st.integers(0, 999), st.sampled_from([4, 8, 16]), st.sampled_from([None, 1, 4]))
def test_a_repeated_key_asks_for_its_value(length: int, index: int, tokens_per_pair: int, pairs: int | None) -> None:
    task = MultiQueryRecall(tokens_per_pair=tokens_per_pair, pairs=pairs)
    example = task.example(NOTHING, length, str(index))
    assert recalled(example) == example.targets
    assert length - 1 <= example.length <= length
    assert len(example.targets) == example.context // 2 == (pairs or length // tokens_per_pair)
    assert {i % 2 for i in example.targets} == {0}
    assert example.score(example.targets) == 1


def test_keys_are_of_the_lower_half_and_values_of_the_upper() -> None:
    example = MultiQueryRecall(vocabulary=100).example(NOTHING, 512, "0")
    assert all(1 <= key < 50 for key in example.ids[: example.context : 2])
    assert all(50 <= value < 100 for value in example.targets.values())
    assert max(example.ids) < 100


def test_without_its_context_no_value_can_be_recalled() -> None:
    example = MultiQueryRecall().example(NOTHING, 512, "0")
    left = example.controls["without_context"]
    assert len(left.targets) == len(example.targets)
    assert left.length == 512 - example.context
    assert not recalled(left)


def test_short_gaps_are_more_frequent() -> None:
    """p ∝ 1 / gap: of the first half and the second of 1000 slots, the first has 90 %."""
    task = MultiQueryRecall(tokens_per_pair=200)
    gaps = [
        position - example.context
        for index in range(200)
        for example in [task.example(NOTHING, 2000, str(index))]
        for position in example.targets
    ]
    halves = Counter(gap < 1000 for gap in gaps)
    assert halves[True] / len(gaps) == pytest.approx(0.9, abs=0.04)


def test_far_gaps_are_drawn_too() -> None:
    """Where keys are many, u^(1 / p) would be zero for most far gaps, and 2 % instead of 8 % in the last quarter."""
    example = MultiQueryRecall(2**20).example(NOTHING, 200_000, "0")
    far = sum(position - example.context > 0.75 * (example.length - example.context) for position in example.targets)
    assert far / len(example.targets) == pytest.approx(0.076, abs=0.005)


@pytest.mark.parametrize(
    "task", [MultiQueryRecall(tokens_per_pair=10**6), MultiQueryRecall(vocabulary=40), MultiQueryRecall(pairs=129)]
)
def test_settings_that_do_not_fit_are_refused(task: MultiQueryRecall) -> None:
    with pytest.raises(InputError, match="change length, vocabulary, tokens_per_pair or pairs"):
        task.example(NOTHING, 512, "0")


def test_an_example_depends_on_task_length_and_index_alone() -> None:
    """Stored results speak of these ids: a change is a new task."""
    first = MultiQueryRecall().example(NOTHING, 64, "0")
    assert first == MultiQueryRecall().example(NOTHING, 64, "0")
    assert first.ids != MultiQueryRecall().example(NOTHING, 64, "1").ids
    assert first.ids[:8] == (3499, 6778, 39, 7390, 1412, 4119, 311, 4430)


def test_the_order_of_the_pairs_does_not_say_which_key_returns_first() -> None:
    """The last pair returns after the first one in half of the examples."""
    later = list[bool]()
    for index in range(1500):
        example = MultiQueryRecall(tokens_per_pair=8).example(NOTHING, 128, str(index))
        place = {example.ids[position]: position for position in example.targets}
        later.append(place[example.ids[0]] < place[example.ids[example.context - 2]])
    assert sum(later) / len(later) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(("power", "near"), [(1.0, 0.5), (0.01, 0.904)])
def test_the_power_decides_how_near_keys_return(power: float, near: float) -> None:
    """p ∝ gap^(a − 1) over 999 slots, one of which is drawn: a = 1 is uniform, Zoology's a = 0.01 is the default."""
    assert MultiQueryRecall().power == 0.01
    wanted = sum(gap ** (power - 1) for gap in range(1, 500)) / sum(gap ** (power - 1) for gap in range(1, 1000))
    assert wanted == pytest.approx(near, abs=0.002)
    task = MultiQueryRecall(tokens_per_pair=2000, power=power)
    found = [next(iter(task.example(NOTHING, 2000, str(i)).targets)) - 2 for i in range(3000)]
    assert sum(gap < 2 * 499 for gap in found) / len(found) == pytest.approx(wanted, abs=0.02)
