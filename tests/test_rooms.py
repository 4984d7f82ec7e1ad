"""The house stays walkable: small rooms, no state hidden in modules, few exceptions to the type checker."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "longspan"
ROOMS = [
    folder
    for top in ("compute", "pretrained", "measure", "study")
    for folder in (SOURCE / top, *(SOURCE / top).rglob("*"))
]
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "memo.py")
MOST_FILES = 12
MOST_IGNORED = 10
CHANGES = {
    *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove"),
    *("reverse", "setdefault", "sort", "update", "__setitem__", "__delitem__"),
}
"""Methods that change a list, a dict, a set or a deque."""


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("room", [room for room in ROOMS if (room / "__init__.py").exists()], ids=name_of)
def test_a_room_holds_few_files(room: Path) -> None:
    assert len(list(room.glob("*.py"))) <= MOST_FILES


def test_few_lines_are_hidden_from_the_type_checker() -> None:
    assert (
        sum(path.read_text(encoding="utf-8").count("# type: ignore") for path in SOURCE.rglob("*.py")) <= MOST_IGNORED
    )


def state(tree: ast.Module) -> Iterator[str]:
    """What a module remembers from call to call, as far as its text shows it."""
    own = {target.id for node in tree.body for target in _bound(node) if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "functools":
            yield from (alias.name for alias in node.names if alias.name in ("cache", "lru_cache"))
        elif isinstance(node, ast.Attribute) and node.attr in ("cache", "lru_cache") and _is(node.value, {"functools"}):
            yield f"functools.{node.attr}"
        elif isinstance(node, ast.Global):
            yield f"global {', '.join(node.names)}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
            if _is(node.func.value, own) and node not in _at_import(tree):
                yield ast.unparse(node)
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
            changed = [
                target for target in _bound(node) if isinstance(target, ast.Subscript) and _is(target.value, own)
            ]
            yield from map(ast.unparse, changed)
            yield from (ast.unparse(t) for t in _bound(node) if isinstance(t, ast.Attribute) and t.attr == "__class__")


def _bound(node: ast.AST) -> list[ast.expr]:
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    return [target for target in targets if isinstance(target, ast.expr)] if not isinstance(node, ast.For) else []


def _is(node: ast.expr, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def _at_import(tree: ast.Module) -> set[ast.AST]:
    """Calls that run once, when the module is imported."""
    return {node.value for node in tree.body if isinstance(node, ast.Expr)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_remembers_nothing(path: Path) -> None:
    """What is remembered between calls lives in memo.py, where it is bounded and can be cleared."""
    assert list(state(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "text",
    [
        "from functools import lru_cache",
        "import functools\n@functools.cache\ndef f(): ...",
        "KNOWN = {}\ndef f(x): KNOWN[x] = 1",
        "KNOWN = []\ndef f(x): KNOWN.append(x)",
        "KNOWN: dict = {}\ndef f(x): KNOWN.setdefault(x, 1)",
        "N = 0\ndef f():\n    global N\n    N += 1",
        "def f(x, kind): x.__class__ = kind",
    ],
)
def test_state_is_noticed(text: str) -> None:
    assert list(state(ast.parse(text))) != []
