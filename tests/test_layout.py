"""The tree keeps its promises: the folder is the registry, and every file says what it is."""

import ast
from pathlib import Path

import pytest

import longspan

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "longspan"
SLOTS = (
    "rotation", "distance", "qk_norm", "scale", "sharpness", "cap", "bias", "mask", "normalizer", "reweight", "memory",
)  # fmt: skip
BESIDE = ("absolute", "positions")
FOLDERS = (*SLOTS, "mixers", *BESIDE)
MODULES = sorted(SOURCE.rglob("*.py"))
PARTS = sorted(path for folder in FOLDERS for path in (SOURCE / folder).glob("*.py") if path.name != "__init__.py")


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def docstring_of(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def re_exported() -> set[str]:
    """What `longspan/__init__.py` imports as a public name, `from … import name as name`, lazily or not."""
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports for alias in node.names if alias.asname == alias.name}


def test_there_are_modules_and_parts() -> None:
    """Guards the tests below: an empty list of cases proves nothing."""
    assert MODULES
    assert {path.parent.name for path in PARTS} <= set(FOLDERS)
    assert PARTS


def test_public_names_are_sorted_and_complete() -> None:
    assert longspan.__all__ == sorted(re_exported())


@pytest.mark.parametrize("name", longspan.__all__)
def test_public_name_exists(name: str) -> None:
    assert not name.startswith("_")
    assert getattr(longspan, name) is not None


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}), ids=name_of)
def test_folder_is_a_package(folder: Path) -> None:
    """Without `__init__.py` a module could be imported under two names, and its classes exist twice."""
    assert (folder / "__init__.py").exists()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_says_what_it_is(path: Path) -> None:
    assert docstring_of(path)


@pytest.mark.parametrize("path", PARTS, ids=name_of)
def test_part_names_its_source(path: Path) -> None:
    assert "\nSource: " in docstring_of(path)


@pytest.mark.parametrize("path", PARTS, ids=name_of)
def test_part_has_a_mirrored_test(path: Path) -> None:
    assert (TESTS / path.parent.name / f"test_{path.name}").exists()


@pytest.mark.parametrize("path", sorted(TESTS.glob("*/test_*.py")), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_mirrored_test_has_its_part(path: Path) -> None:
    """A renamed part leaves no test behind."""
    if path.parent.name in FOLDERS:
        assert (SOURCE / path.parent.name / path.name.removeprefix("test_")).exists()
