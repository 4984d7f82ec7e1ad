"""The text form: what it means, and what it says to somebody who mistypes."""

import inspect

import jaxtyping
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.catalogue import methods
from longspan.errors import LONGEST, NotationError, SchemeError
from longspan.geometry import Geometry
from longspan.notation import format_plan, format_scheme, parse, parse_plan
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
        ("random(2048) + rope", r"random in 'random\(2048\) \+ rope' is not a term of a scheme: .* longspan.positions"),
        ("nope(theta=3)", "nope has no argument 'theta'; it takes none"),
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
        ("log_length(4) + log_length(4)", "both answer 'sharpness'"),
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


# --- whatever the text ------------------------------------------------------------------------------------------------

VALUES = [
    "0", "1", "2", "-1", "8", "512", "0.5", "1.5", "1e999", "-1e999", "1e308", "1e300", "5e-324", "1" + 400 * "0",
    "0x" + 4000 * "f", str(2**62), str(2**62 + 1), "None", "True", "'half'", "interleaved", "training", "inf", "nan",
    "()", "(1, 2)", "[1, None]", "('a',)", "('1',)", "(True,)", "(1e999,)", "((1,),)", "(0x" + 4000 * "f" + ", None)",
    "{}", "{[]: 1}", "1j", "f(x)", "*x", "lambda: 0", "b'x'", "-'a'", "'\\ud800'", "1e999 - 1e999",
]  # fmt: skip
FRAGMENTS = [
    "",
    "(",
    ")",
    "=",
    " + ",
    ", ",
    "'",
    '"',
    "\0",
    "\ud800",
    "\n",
    "\\",
    "é",
    "**x",
    "rope",
    "tile('S', S=",
    "0x",
    "_",
]


@st.composite
def terms(draw: st.DrawFn) -> str:
    """A method with a few of its arguments, of any value."""
    name = draw(st.sampled_from(sorted(methods())))
    parameters = st.sampled_from([*inspect.signature(methods()[name].make).parameters, "other"])
    values = st.sampled_from(VALUES)
    positional = draw(st.lists(values, max_size=2))
    named = draw(st.lists(st.builds("{}={}".format, parameters, values), max_size=2))
    return f"{name}({', '.join([*positional, *named])})" if positional or named else name


SUMS = st.lists(terms(), min_size=1, max_size=3).map(" + ".join)
LETTERS = st.sampled_from(["A", "B", "_", "é", "cls", "pattern"])
PATTERNS = st.builds(
    "{}({!r}, {})".format,
    st.sampled_from(["tile", "per_layer"]),
    st.text("AB_é", max_size=3),
    st.lists(st.builds("{}={}".format, LETTERS, SUMS), max_size=3).map(", ".join),
)
BROKEN = st.builds(
    lambda text, i, part: text[:i] + part + text[i + 1 :], SUMS, st.integers(0, 40), st.sampled_from(FRAGMENTS)
)
LENGTHS = st.sampled_from([0, 1, 4096, 2**40, 2**62, 10**400])


@given(text=SUMS | PATTERNS | BROKEN | st.text(max_size=9), length=st.none() | LENGTHS)
def test_any_text_is_a_scheme_that_its_own_text_returns_or_is_refused(text: str, length: int | None) -> None:
    for read, write in ((parse, format_scheme), (parse_plan, format_plan)):
        try:
            found = read(text) if length is None else read(text, GEOMETRY, length)
        except SchemeError as refused:
            assert "\n" not in str(refused)  # noqa: PT017
            assert len(str(refused)) < 4 * LONGEST  # noqa: PT017
        else:
            assert read(write(found)) == found  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "text",
    [" + ".join(3000 * ["rope"]), "rope" + 3000 * ".a", 20_000 * "-" + "1", 150 * "(", "rope" + 90 * "+ rope", "rope\0",
     "rope\ud800", "tile('S', S=rope, S=nope)", "rope(theta=" + 300 * "x" + ")"],
)  # fmt: skip
def test_what_python_cannot_read_is_refused_as_well(text: str) -> None:
    for read in (parse, parse_plan):
        with pytest.raises(SchemeError) as refused:
            read(text)
        assert len(str(refused.value)) < 4 * LONGEST


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rope(theta=1" + 400 * "0" + ")", "rope: theta must be finite, got inf"),
        ("leaky_rerope(8, k=-1e999)", "leaky_rerope: k must be finite, got -inf"),
        ("window(0x" + 5000 * "f" + ")", r"window: size must be at most 2\^62, got int with too many digits"),
        ("longrope(long=(1, 1e999))", r"longrope: long must be finite, got \(1.0, inf\)"),
        ("longrope(long=('a',))", r"longrope: long must be a list of numbers, got \('a',\)"),
    ],
)
def test_numbers_that_no_tensor_holds(text: str, message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        parse(text)


@pytest.mark.parametrize("given", [None, 3, b"rope", ["rope"]])
def test_a_scheme_is_read_from_text_alone(given: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for read in (parse, parse_plan):
        with pytest.raises(NotationError, match=f"read from text, got {type(given).__name__}"):
            read(given)  # pyright: ignore[reportArgumentType]
