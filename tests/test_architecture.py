"""docs/architecture.md names every folder, and every path that it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "longspan"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DRAWING = (ROOT / "docs" / "figures" / "architecture.svg").read_text(encoding="utf-8")
FOLDERS = sorted(path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("__init__.py"))[1:]
PATHS = sorted(set(re.findall(r"`((?:[\w]+/)*[\w]+(?:\.py|/))`", PAGE)))


def test_the_page_names_paths() -> None:
    assert len(PATHS) > 40


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_is_explained_or_its_parent_is(folder: str) -> None:
    top = folder.partition("/")[0]
    assert f"`{folder}/`" in PAGE or f"`{top}/`" in PAGE
    assert f">{top}/" in DRAWING or f">{top}" in DRAWING or f"· {top}/" in DRAWING or "/" in folder


@pytest.mark.parametrize("path", PATHS)
def test_every_path_is_there(path: str) -> None:
    """From the root, from src/longspan, or as the end of a path below it."""
    found = [(ROOT / path).exists(), (SOURCE / path).exists(), any(SOURCE.rglob(path.rstrip("/")))]
    assert any(found), f"{path} is named in docs/architecture.md and is not there"
