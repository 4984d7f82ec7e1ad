"""The novels of the Debian package r-cran-janeaustenr, read without R."""

import subprocess
import sys
import zlib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from struct import pack
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrained.real import CACHE

SCRIPT = Path(__file__).parents[2] / "experiments" / "texts" / "austen.py"
FETCHED = sorted((CACHE / "austen").glob("*.txt"))
LINES = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5)
"""Lines of any characters that UTF-8 can write."""


def script() -> ModuleType:
    spec = spec_from_file_location("austen", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


AUSTEN = script()


def serialized(lines: list[str], kind: int = 16, encoding: bytes = b"UTF-8") -> bytes:
    """What R's `serialize` writes of a vector of strings; every string says that it is UTF-8."""
    head = b"X\n" + pack(">iii", 3, 0x040201, 0x030500) + pack(">i", len(encoding)) + encoding
    strings = (pack(">ii", 0x00008009, len(line.encode())) + line.encode() for line in lines)
    return head + pack(">ii", kind, len(lines)) + b"".join(strings)


def file_of(*objects: bytes) -> bytes:
    return b"".join(pack(">i", len(found)) + zlib.compress(found) for found in objects)


@given(st.lists(LINES, max_size=3))
def test_what_was_written_is_read(novels: list[list[str]]) -> None:
    content = file_of(*map(serialized, novels))
    assert [AUSTEN.strings(found) for found in AUSTEN.objects(content)] == novels


def test_a_package_becomes_named_texts(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: novels\nVersion: 1\nArchitecture: all\nMaintainer: nobody <a@b.c>\nDescription: six novels\n"
    )
    data = root / AUSTEN.DATA
    data.parent.mkdir(parents=True)
    data.write_bytes(file_of(*(serialized([name.upper(), "", "Chapter 1"]) for name in AUSTEN.NAMES)))
    package = tmp_path / "novels.deb"
    subprocess.run(["dpkg-deb", "--build", root, package], check=True, capture_output=True)
    subprocess.run([sys.executable, SCRIPT, package, tmp_path / "texts"], check=True, capture_output=True)
    assert {path.stem: path.read_text() for path in (tmp_path / "texts").iterdir()} == {
        name: f"{name.upper()}\n\nChapter 1\n" for name in AUSTEN.NAMES
    }


def test_other_objects_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a vector of strings .* got an object of type 13"):
        AUSTEN.strings(serialized(["a"], kind=13))


def test_a_missing_string_is_refused() -> None:
    missing = serialized([]).removesuffix(pack(">i", 0)) + pack(">i", 1) + pack(">ii", 9, -1)
    with pytest.raises(ValueError, match=r"expected a string .* length -1"):
        AUSTEN.strings(missing)


def test_a_damaged_file_is_refused() -> None:
    content = bytearray(file_of(serialized(["a"])))
    content[3] += 1
    with pytest.raises(ValueError, match="fetch the package again"):
        list(AUSTEN.objects(bytes(content)))


@pytest.mark.skipif(len(FETCHED) != len(AUSTEN.NAMES), reason="`make austen` fetches the novels")
def test_the_fetched_novels_are_whole() -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in FETCHED}
    assert sorted(texts) == list(AUSTEN.NAMES)
    assert sum(len(text.split()) for text in texts.values()) == 717_537
    assert all("austen" in text[:200].lower() for name, text in texts.items())
    assert all(text.lower().startswith(name.replace("-", " ")) for name, text in texts.items())
