"""A part is a value: frozen, hashable, equal to what its text says; its file explains it."""

from dataclasses import FrozenInstanceError, fields
from math import inf, nan
from typing import ClassVar, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.drawing import GEOMETRY, LENGTH, PARTS, default, schemes
from longspan.catalogue import Method, everything
from longspan.errors import SchemeError
from longspan.notation import format_scheme, parse
from longspan.scheme import Scheme
from longspan.slots import INFINITE, Part


@pytest.mark.parametrize("name", PARTS)
@given(data=st.data())
def test_text_form_returns(name: str, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    assert parse(format_scheme(scheme)) == scheme


@pytest.mark.parametrize("name", PARTS)
def test_is_a_frozen_value(name: str) -> None:
    part = default(name)
    assert part == default(name)
    assert hash(part) == hash(default(name))
    for f in fields(part):
        with pytest.raises(FrozenInstanceError):
            setattr(part, f.name, None)


@pytest.mark.parametrize("name", PARTS)
def test_fields_are_plain_values(name: str) -> None:
    for f in fields(default(name)):
        value = getattr(default(name), f.name)
        assert value is None or isinstance(value, int | float | str | bool | tuple | Part), f.name


@pytest.mark.parametrize("name", PARTS)
def test_an_unknown_option_is_refused(name: str) -> None:
    """By the part itself: those who use the library have no type checker at run time, as the tests do."""
    for option, hint in get_type_hints(PARTS[name]).items():
        if get_origin(hint) is Literal:
            part = default(name)
            object.__setattr__(part, option, "another")
            with pytest.raises(SchemeError, match=f"{name}: {option} must be .* got 'another'"):
                part.__post_init__()


@pytest.mark.parametrize(
    "number", [nan, inf, -inf, 2**62 + 1, 10**4000], ids=["nan", "inf", "-inf", "2^62 + 1", "10^4000"]
)
@pytest.mark.parametrize("name", PARTS)
def test_a_number_that_no_tensor_holds_is_refused(name: str, number: float) -> None:
    """In every field that takes numbers, in a list too; by the part itself, however it is made."""
    infinite = {f.name for f in fields(PARTS[name]) if INFINITE in f.metadata}
    for option, hint in get_type_hints(PARTS[name]).items():
        kinds = {*get_args(hint), hint} & {int, float, tuple[float, ...], tuple[int, ...]}
        if not kinds or get_origin(hint) in (ClassVar, Literal) or (number == inf and option in infinite):
            continue
        part = default(name)
        object.__setattr__(part, option, (1, number) if kinds - {int, float} else number)
        with pytest.raises(SchemeError, match=f"{name}: {option} must be (finite|at most)"):
            part.__post_init__()


@pytest.mark.parametrize("length", [0, -1, 2**62 + 1, 10**400], ids=["0", "-1", "2^62 + 1", "10^400"])
def test_a_length_that_no_text_has_is_refused(length: int) -> None:
    with pytest.raises(SchemeError, match="the wanted length must be 1"):
        Scheme().fill(GEOMETRY, length)


@pytest.mark.parametrize("name", PARTS)
def test_geometry_closes_what_it_can(name: str) -> None:
    """Filling twice changes nothing, and a filled scheme holds the filled part."""
    part = default(name)
    assert part.fill(GEOMETRY, LENGTH) == part
    filled = getattr(Scheme.of(PARTS[name]()).fill(GEOMETRY, LENGTH), part.slot)
    assert filled == getattr(Scheme.of(part), part.slot)


@pytest.mark.parametrize("method", everything(), ids=lambda method: f"{method.slot}-{method.name}")
def test_file_explains_the_method(method: Method) -> None:
    assert method.summary, "line 1 of the module: 'Name: plain meaning.'"
    assert method.formula, "an indented formula"
    assert method.source, "a Source: paragraph"
    if isinstance(method.make, type) and issubclass(method.make, Part):
        assert "Neutral:" in method.details, "the class says which setting changes nothing"
        arguments = [f.name for f in fields(method.make) if f not in fields(_base(method.make))]
        for argument in arguments:
            assert f"{argument}:" in method.details, f"the class explains {argument}"


def _base(part: type[Part]) -> type[Part]:
    """The slot's own class."""
    return next(base for base in part.__mro__ if base.__module__.startswith("longspan.slots."))
