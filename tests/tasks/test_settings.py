"""Tasks and losses by their text: settings as in schemes, one text for equal settings, and errors in one line."""

from dataclasses import fields, replace
from math import inf, nan
from typing import Any, cast, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError, NotationError
from longspan.measure.reduction import reduction_of, reductions
from longspan.measure.reductions.far_gain import FarGain
from longspan.measure.reductions.last_k import LastK
from longspan.notation import format_value
from longspan.task import Material, task_of, tasks
from longspan.tasks.niah_multikey_1 import NiahMultikey1
from longspan.tasks.qa import Qa
from prompting import TEXT, tokenizer


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


MATERIAL = Material(tokenizer("words"), tuple(tokenizer("words")(TEXT)["input_ids"]), text=TEXT)
NUMBERS: dict[Any, tuple[float, ...]] = {
    int: (-1, 0, 1, 2, 1000, 10**9),
    float: (-1.0, 0.0, 1.0, 2.0, 1000.0, inf, nan),
}
SETTINGS = [
    (name, setting.name, value)
    for name, made in tasks().items()
    for setting in fields(cast(Any, made))
    for value in NUMBERS.get(get_type_hints(made)[setting.name], ())
]


def length_or_error(name: str, setting: str, value: float) -> int | str:
    try:
        return cast(Any, tasks()[name])(**{setting: value}).example(MATERIAL, 1500, "0").length
    except InputError as error:
        return str(error)


@pytest.mark.parametrize(("name", "setting", "value"), SETTINGS)
def test_any_number_makes_examples_or_is_refused_in_one_line(name: str, setting: str, value: float) -> None:
    """Neither an error of Python nor an example without end; this length has room for every default."""
    found = length_or_error(name, setting, value)
    if isinstance(found, str):
        assert found.startswith((f"{name}: ", f"{name}/1500/0: ", "1500 tokens leave no room for text"))
        assert "\n" not in found
    else:
        assert 0.97 * 1500 <= found <= 1500


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("niah_single_2(keys=0)", "niah_single_2: keys must be 1 … 40, got 0"),
        ("niah_multiquery(queries=5)", r"niah_multiquery: queries must be 1 … 4 \(keys\), got 5"),
        ("niah_single_2(keys=7, values=6)", "niah_single_2: keys · values must be at most 40, got 42"),
        ("sort(least=3, most=2)", r"sort: most must be at least 3 \(least\), got 2"),
        ("retrieval(depths=())", r"retrieval: depths must be one or more numbers from 0 to 1, got \(\)"),
        ("retrieval(depths=(0.5, 1.5))", "retrieval: depths must be one or more numbers from 0 to 1"),
        ("position_probe(first=-1)", "position_probe: first must be None or a token id, 0 or more, got -1"),
        ("position_probe(vocabulary=1, first=0)", "position_probe: vocabulary must be at least 2, got 1"),
    ],
)
def test_settings_that_make_no_example_are_refused_where_they_are_read(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        task_of(text)


@given(st.integers(1, 5), st.integers(1, 8), st.booleans())
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
