"""One file, one class: the folder is the registry."""

import sys
from pathlib import Path

import pytest

from longspan.errors import LongspanError
from longspan.registry import name_of, registered

BASE = "from abc import ABC, abstractmethod\nclass Base(ABC):\n    @abstractmethod\n    def go(self): ...\n"
ONE = "from registered_base import Base\nclass One(Base):\n    def go(self): ...\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty package, and a module with a base class."""
    folder = tmp_path / "registered_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (tmp_path / "registered_base.py").write_text(BASE)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("registered_")]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def found(package: Path) -> dict[str, type]:
    from registered_base import Base  # type: ignore[import-not-found]

    return registered(package.name, Base)


def test_a_file_registers_its_class_under_its_own_name(package: Path) -> None:
    (package / "second.py").write_text(ONE)
    (package / "first.py").write_text(ONE + "class Helper: ...\n")
    assert list(found(package)) == ["first", "second"]
    assert [name_of(each) for each in found(package).values()] == ["first", "second"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("from registered_package.whole import One\n", 0),
        (ONE.replace("    def go(self): ...", "    ..."), 0),
        (ONE + "class Two(One): ...\n", 2),
    ],
    ids=["empty", "imported", "abstract", "two"],
)
def test_any_other_number_of_classes_is_an_error(package: Path, text: str, count: int) -> None:
    (package / "whole.py").write_text(ONE)
    (package / "broken.py").write_text(text)
    with pytest.raises(LongspanError, match=f"broken must define exactly one Base, it defines {count}"):
        found(package)
