"""Tasks and losses by their text: settings as in schemes, one text for equal settings, and errors in one line."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import NotationError
from longspan.measure.reduction import reduction_of, reductions
from longspan.measure.reductions.far_gain import FarGain
from longspan.measure.reductions.last_k import LastK
from longspan.notation import format_value
from longspan.task import task_of, tasks
from longspan.tasks.niah_multikey_1 import NiahMultikey1
from longspan.tasks.qa import Qa


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("niah_multikey_1", NiahMultikey1()),
        ("niah_multikey_1(keys=8)", NiahMultikey1(keys=8)),
        (" niah_multikey_1( 8, values = 2 ) ", NiahMultikey1(keys=8, values=2)),
        ("qa(path='/data/my squad.json')", Qa("/data/my squad.json")),
        ("qa(path=squad.json)", Qa("squad.json")),
        ("qa('squad.json')", Qa("squad.json")),
    ],
)
def test_settings_are_read(text: str, value: Any) -> None:
    assert task_of(text) == value
    assert task_of(format_value(value, value.name)) == value


def test_settings_of_losses_are_read() -> None:
    assert reduction_of("last_k(k=512)") == LastK(512)
    assert reduction_of("far_gain(gain=1, near=64)") == FarGain(near=64, gain=1.0)
    assert format_value(FarGain(near=64, gain=1.0), "far_gain") == "far_gain(near=64, gain=1.0)"


@pytest.mark.parametrize("name", [*tasks(), *reductions()])
def test_the_name_alone_is_the_text_of_the_defaults(name: str) -> None:
    """So that results which were stored under a name are found again."""
    read = task_of if name in tasks() else reduction_of
    assert format_value(read(name), name) == name
    assert read(name + "()") == read(name)


@given(st.integers(1, 99), st.integers(1, 9), st.booleans())
def test_equal_settings_have_one_text(keys: int, values: int, positional: bool) -> None:
    text = f"niah_multikey_1({keys}, {values})" if positional else f"niah_multikey_1(values={values}, keys={keys})"
    found = format_value(task_of(text), "niah_multikey_1")
    assert found == format_value(replace(NiahMultikey1(), keys=keys, values=values), "niah_multikey_1")
    assert task_of(found) == task_of(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("niah_multikey_1(needles=8)", "niah_multikey_1 has no argument 'needles'; it takes keys, values, queries"),
        ("niah_multikey_1(keys=two)", "niah_multikey_1: keys must be a whole number, got 'two'"),
        ("niah_multikey_1(keys=1, keys=2)", "niah_multikey_1: keys is given twice"),
        ("niah_multikey_1(haystack=noise)", "has no argument 'haystack'"),
        ("nih_multikey_1", "unknown task 'nih_multikey_1'; did you mean 'niah_multikey_1'"),
        ("qa(path=/data/squad.json)", "cannot read .* texts with / or spaces in quotes"),
        ("qa + vt", "a task is written NAME or 'NAME\\(setting=value\\)'"),
        ("", "cannot read"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(NotationError, match=words) as caught:
        task_of(text)
    assert "\n" not in str(caught.value)
