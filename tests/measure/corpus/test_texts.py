"""Whatever a text comes in, the same text comes out, or one line says what to do."""

import builtins
import importlib.util
import json
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.measure.corpus.texts import NoTextError, Text, contents, texts_in
from tiny import prose

WORDS = prose(60)
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), min_size=1)


@given(LINES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_encoding_with_a_mark_gives_the_same_text(tmp_path: Path, text: str) -> None:
    text = text.lstrip("\ufeff")
    for encoding, mark in (("utf-8", ""), ("utf-8", "\ufeff"), ("utf-16-le", "\ufeff"), ("utf-16-be", "\ufeff")):
        (tmp_path / "text").write_bytes((mark + text).encode(encoding))
        found = Text(tmp_path / "text")
        assert found.read() == text
        most = found.most_tokens()
        assert most is None or most >= len(text.encode())


def test_windows_lines_are_lines(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a\r\nb\rc")
    assert Text(tmp_path / "text").read() == "a\nb\nc"


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (WORDS.encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8"),
        ("caf\u00e9 ".encode("latin-1") * 40, "iconv -f LATIN1 -t UTF-8"),
    ],
)
def test_an_encoding_without_a_mark_is_named_with_its_conversion(tmp_path: Path, content: bytes, hint: str) -> None:
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(NoTextError, match=hint):
        Text(tmp_path / "text").read()


def page(text: str) -> str:
    head = "<head><title>T</title><style>p {}</style></head>"
    return f"<html>{head}<body><script>x = 1</script><p>{text}</p></body></html>"


def test_html_gives_what_a_reader_sees(tmp_path: Path) -> None:
    (tmp_path / "a.HTML").write_text(page("sun &amp; <b>rain</b>"))
    assert Text(tmp_path / "a.HTML").read().split() == ["sun", "&", "rain"]
    assert Text(tmp_path / "a.HTML").most_tokens() is None


def pdf(text: str) -> bytes:
    """A PDF of one page, as the specification writes it (ISO 32000-1, annex H.3)."""
    stream = zlib.compress(f"BT /F1 12 Tf 20 700 Td ({text}) Tj ET".encode())
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, starts = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        starts.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    end = b"xref\n0 6\n0000000000 65535 f \n%btrailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return body + end % (table, len(body))


def test_pdf_gives_its_text(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("the sun rose over a quiet valley"))
    assert Text(tmp_path / "a.pdf").read().split() == ["the", "sun", "rose", "over", "a", "quiet", "valley"]


@pytest.mark.parametrize("content", [b"no pdf at all", pdf(""), b"%PDF-1.4\n", pdf("sun")[:200]])
def test_a_pdf_without_text_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pdf").write_bytes(content)
    with pytest.raises(NoTextError, match=r"is no PDF|is a PDF without text") as raised:
        Text(tmp_path / "a.pdf").read()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "package"), [("a.pdf", "pypdf"), ("a.html", "bs4")])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    (tmp_path / name).write_text("<p>sun</p>")
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked: None if asked == package else builtins)
    with pytest.raises(InputError, match=rf"{package}: pip install 'longspan\[documents\]'"):
        Text(tmp_path / name).read()


@pytest.mark.parametrize("line", ["[]", "{", '{"text": 5}', '{"body": "x"}', "7", '"text"', "[" * 100_000])
def test_a_line_without_a_text_is_one_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(NoTextError, match='field "text"'):
        Text(tmp_path / "a.jsonl", 1).read()


def test_half_a_surrogate_pair_is_a_question_mark(tmp_path: Path) -> None:
    """JSON can say it, though it is no character; no tokenizer takes it."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a \\ud83d b"}\n{"text": "\\ud83d\\ude00"}\n')
    assert [text.read() for text in texts_in(path)] == list(contents(path)) == ["a ? b", "\U0001f600"]


RECORDS = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\n\r\0\u2028")))


@given(RECORDS, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_line_by_line_or_all_at_once(
    tmp_path: Path, records: list[str | None], encoding: str, end: str, plain: bool
) -> None:
    """A file of records read as a stream gives what its lines give, one by one; None is an empty line."""
    lines = ["" if text is None else json.dumps({"text": text}, ensure_ascii=plain) for text in records]
    with TemporaryDirectory(dir=tmp_path) as folder:  # the lines of a file are remembered by its name
        path = Path(folder, "a.jsonl")
        path.write_bytes(end.join(lines).encode(encoding))
        assert list(contents(path)) == [text for text in records if text is not None]
        assert [text.read() for text in texts_in(path)] == list(contents(path))
