"""The text form: what it means, and what it says to somebody who mistypes."""

import pytest

from longspan.errors import NotationError, SchemeError
from longspan.geometry import Geometry
from longspan.notation import format_scheme, parse
from longspan.scheme import Scheme

GEOMETRY = Geometry(num_heads=4, num_kv_heads=2, head_dim=64, trained_length=4096, theta=500000.0)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("nope", ""),
        ("rerope(1024)", "rope + rerope(window=1024)"),
        ("rope(10000)", "rope(theta=1e4)"),
        ("window(512, sinks=4) + rope", "rope + window(size=512, sinks=4)"),
        ("log_length(512) + rope", "rope + inverse_sqrt + log_length(trained_length=512)"),
        ("key_norm + rope", "rope + key_norm + unscaled"),
        ("cosine + log_length(256, training)", "cosine(multiplier=4) + log_length(256, form='training')"),
        ("constant(0.5) + log_length(512)", "log_length(512) + constant(0.5)"),
        ("t5 + nope", "t5 + unscaled"),
        ("alibi + causal", "alibi"),
        ("lm_infinite(512, sinks=4)", "rerope(512) + window(512, sinks=4)"),
    ],
)
def test_two_texts_of_one_scheme(text: str, same: str) -> None:
    assert parse(text) == (parse(same) if same else Scheme())


@pytest.mark.parametrize(
    "text",
    [
        "nope",
        "rope",
        "rerope(window=1024)",
        "nope + rerope(window=3)",
        "constant(value=0.5) + log_length(trained_length=8)",
        "rope + window(size=512, sinks=4)",
        "alibi + bidirectional",
        "key_norm",
    ],
)
def test_canonical_texts_return_unchanged(text: str) -> None:
    assert format_scheme(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ropa", "unknown method 'ropa'.*did you mean 'rope'"),
        ("rope(tehta=3)", "rope has no argument 'tehta'; did you mean 'theta'"),
        ("rope(", r"cannot read 'rope\('"),
        ("rope * 2", "cannot read 'rope \\* 2'"),
        ("rope.x", "cannot read 'rope.x'"),
        ("__import__('os')", "unknown method '__import__'"),
        ("rope(__import__('os').getcwd())", "theta must be a number"),
        ("rerope(1.5)", "window must be a whole number, got 1.5"),
        ("rope(1e4, theta=2)", "theta is given twice"),
        ("rerope(1, 2, 3)", "at most 1 positional"),
        ("rope(layout=quarter)", "layout must be 'half', 'interleaved', got 'quarter'"),
        ("yarn(factor=True)", "factor must be a number, got True"),
    ],
)
def test_unreadable_texts(text: str, message: str) -> None:
    with pytest.raises(NotationError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rope + linear(2)", "rope and linear both answer 'rotation'"),
        ("rerope(4) + rerope(4)", "both answer 'distance'"),
        ("constant(1) + unscaled", "constant and unscaled both answer 'scale'"),
        ("log_length(4) + log_length(4)", "both answer 'scale'"),
        ("linear(0.5)", "factor must be .*got 0.5"),
        ("window(0)", "size must be at least 1, got 0"),
        ("rerope(-1)", "window must be at least 0, got -1"),
        ("xpos + bidirectional", "xpos is causal only"),
        ("axial + rerope(4)", "rerope maps one axis, axial has 2"),
        ("axial + alibi", "alibi sees one axis, axial has 2"),
    ],
)
def test_texts_that_fit_no_equation(text: str, message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        parse(text)


def test_geometry_fills_what_is_left_open() -> None:
    assert parse("yarn", GEOMETRY, 16384) == parse("yarn(factor=4, trained_length=4096, theta=500000)")
    assert parse("rerope + log_length", GEOMETRY, 16384) == parse(
        "rope(theta=500000) + rerope(window=1024) + log_length(trained_length=4096)"
    )
    assert parse("yarn(trained_length=2048)", GEOMETRY, 16384).rotation.factor == 8  # pyright: ignore[reportAttributeAccessIssue]
    assert parse("yarn(factor=2)", GEOMETRY, 16384).rotation.factor == 2  # pyright: ignore[reportAttributeAccessIssue]


def test_open_fields_say_what_they_need() -> None:
    with pytest.raises(SchemeError, match=r"yarn needs .*geometry"):
        parse("yarn").rotation.spectrum(64)
