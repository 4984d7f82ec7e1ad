"""Break the library on purpose, one small change at a time: do the tests notice?

    python tests/mutants.py [FILE ...]        files below src/longspan; all files of the slots where none is named

Each mutant meets its mirrored test file, then the contract suites on its method, then the examples of its docstrings;
the first failure kills it. A mutant that survives must stand in `mutants_equivalent.toml` with a proof that it changes
nothing, or a test is missing. Fails where one survives that is not listed, and where a listed one is gone or killed.

The heavy imports happen once; each mutant is a fork with the changed file in a copy of the tree. Verdicts are kept in
`.pytest_cache/mutants.json` by the hash of the file and its tests, so that a run that was broken off goes on.
"""

import ast
import gc
import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "src/longspan"
SLOTS = (
    "rotation", "distance", "qk_norm", "scale", "sharpness", "cap", "bias", "mask", "normalizer", "reweight", "memory",
)  # fmt: skip
ABOVE = {
    "pretrained", "prompts", "task", "tasks", "measure", "grid", "study", "survey", "search", "train", "audit", "bench",
    "check", "report", "cli", "bundled", "registry", "__main__",
}  # fmt: skip
"""What knows nothing of single methods, and takes long to import."""
BUNDLED = Path(SOURCE, "bundled")
"""Data that no mutant changes and that weighs more than all else; the copy links to it."""
CONTRACT = ("parts", "value", "oracle", "normalizer", "position_probe")
CONTRACT_OF_SLOTS = tuple(f"contract/test_{suite}.py" for suite in ("oracle", "parts", "normalizer", "value"))
SUITES = {
    f"slots/{name}.py": ["test_slots.py", *folders, *CONTRACT_OF_SLOTS, "compute/test_attend.py"]
    for name, folders in {
        "part": [],
        "rotation": ["rotation"],
        "distance": ["distance"],
        "mask": ["mask"],
        "normalizer": ["normalizer"],
    }.items()
} | {
    "compute/cache.py": ["compute/test_cache.py", "contract/test_cache.py"],
    "compute/decoding/reframe.py": ["compute/test_cache.py", "contract/test_cache.py"],
    "compute/decoding/positions.py": ["compute/test_cache.py", "compute/decoding"],
    "compute/tiling/lowering.py": ["compute/tiling/test_lowering.py"],
    "compute/rotate.py": ["compute/test_rotate.py", "contract/test_oracle.py", "rotation"],
}
"""Tests of files that are no method, below tests/, the quick ones first."""
EQUIVALENT = ROOT / "tests" / "mutants_equivalent.toml"
CACHE = ROOT / ".pytest_cache" / "mutants.json"
PATIENCE = 4
"""How many times longer than without a change (and 5 s more) the tests may take: a mutant may loop without end."""
MEMORY = 8 << 30


def main() -> int:
    """The number of complaints, at most one."""
    paths = sys.argv[1:] or [
        path.relative_to(ROOT / SOURCE).as_posix()
        for slot in SLOTS
        for path in sorted((ROOT / SOURCE / slot).glob("*.py"))
    ]
    with tempfile.TemporaryDirectory(prefix="longspan-mutants-") as folder:
        copy = Path(folder)
        _prepare(copy)
        return _Run(copy, paths).report()


def _prepare(copy: Path) -> None:
    """A copy of the tree, and everything in memory that a mutant does not change."""
    copy_tree(copy)
    os.chdir(copy)
    os.environ |= {"OMP_NUM_THREADS": "1", "HYPOTHESIS_PROFILE": "draft", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    sys.path[:0] = [str(copy / "src"), str(copy / "tests")]
    warnings.simplefilter("ignore")
    import torch
    from jaxtyping import install_import_hook

    torch.set_num_threads(1)
    install_import_hook(["longspan"], "typechecker.checked")
    own = {path.stem for path in copy.rglob("*.py")} | {path.name for path in copy.glob("tests/*")}
    for folder in (*SLOTS, "contract", "compute"):
        for path in copy.glob(f"tests/{folder}/*.py"):
            for module in _imports(path):
                if module.partition(".")[0] not in {"longspan", *own}:
                    import_module(module)


def copy_tree(copy: Path) -> None:
    """The library and its tests in another folder."""
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", BUNDLED.name))
    (copy / BUNDLED).symlink_to(ROOT / BUNDLED)
    shutil.copy(ROOT / "pyproject.toml", copy)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module.startswith("longspan"))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _modules(copy: Path) -> dict[str, Path]:
    """The library's modules."""
    found = {}
    for path in sorted((copy / SOURCE).rglob("*.py")):
        parts = path.relative_to(copy / "src").with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def _is_above(module: str) -> bool:
    return not ABOVE.isdisjoint(module.split(".")[1:2])


def stages(tree: Path, path: str) -> dict[str, list[str]]:
    """Test files of a file below src/longspan, by what to call them in the table."""
    if path in SUITES:
        return {name: [f"tests/{name}"] for name in SUITES[path]}
    file = Path(path)
    own = f"tests/{file.with_name(f'test_{file.name}')}"
    found = {"own": [own]} if (tree / own).exists() else {}
    if file.parts[0] in SLOTS:
        found["contract"] = [f"tests/contract/test_{suite}.py" for suite in CONTRACT]
    if file.parts[0] == "mixers":
        found["contract"] = ["tests/contract/test_mixers.py"]
    return found | {"example": [f"{SOURCE}/{path}"]}


class _Run:
    """Every mutant of the named files, and what became of it."""

    def __init__(self, copy: Path, paths: list[str]) -> None:
        from mutations import mutants

        self.copy = copy
        self.paths = paths
        self.mutants = {path: mutants(self._text(path)) for path in paths}
        self.imports = {module: set(_imports(path)) for module, path in _modules(copy).items()}
        self.cache: dict[str, float | None] = _cached()
        folders = [copy / "tests", *(copy / "tests" / name for name in (*SLOTS, "contract", "compute"))]
        shared = [path for folder in folders for path in sorted(folder.glob("*.py")) if path.name[:5] != "test_"]
        self.shared = "".join(path.read_text(encoding="utf-8") for path in shared if "mutants" not in path.name)

    def report(self) -> int:
        """Judge all, print the survivors that are not listed and the listed ones that do not survive."""
        listed = _listed()
        complaints = []
        for number, (path, mutants) in enumerate(self.mutants.items()):
            print(f"\r{number}/{len(self.paths)} files\033[K", end="", file=sys.stderr)
            if not mutants:
                continue
            child = os.fork()
            if not child:
                os._exit(self._judge(path))
            if os.waitpid(child, 0)[1]:
                return 1
            self.cache = _cached()
            survivors = {(m.where, m.line, m.becomes) for m in mutants if not self._verdict(path, m.text)}
            killers = Counter(self._verdict(path, mutant.text) or "survive" for mutant in mutants)
            print(f"\r{path:32}{len(mutants):4} mutants: {_counted(killers)}\033[K", flush=True)
            complaints += [_entry(path, *key) for key in survivors - listed.get(path, {}).keys()]
            complaints += [f"# gone or killed\n{_entry(path, *key)}" for key in listed.get(path, {}).keys() - survivors]
        print(*complaints, sep="\n")
        total, kept = sum(map(len, self.mutants.values())), sum(len(listed.get(path, {})) for path in self.paths)
        print(f"{total} mutants, {kept} listed as equivalent, {len(complaints)} complaints")
        return min(1, len(complaints))

    def _judge(self, path: str) -> int:
        """All mutants of one file, in a process that has imported what the file is not part of."""
        changed = f"longspan.{path.removesuffix('.py').replace('/', '.')}"
        stale = {changed}
        while more := {module for module, used in self.imports.items() if used & stale} - stale:
            stale |= more
        for module in sorted(self.imports.keys() - stale):
            if _is_above(changed) or not _is_above(module):
                with suppress(ImportError):  # a module of an extra that is not installed
                    import_module(module)
        assert changed not in sys.modules, f"{changed} is imported before it is changed"
        # Collecting garbage in a fork would visit, and copy, all that was imported here.
        gc.freeze()
        if failing := self._verdict(path, self._text(path)):
            print(f"\n{path}: {failing} tests fail without any change: nothing can be told")
            return 1
        began, before, mutants = time.monotonic(), len(self.cache), self.mutants[path]
        for done, mutant in enumerate(mutants, 1):
            self._verdict(path, mutant.text)
            seconds = (time.monotonic() - began) / done * (len(mutants) - done)
            left = f", {seconds:.0f} s left" if len(self.cache) > before else ""
            print(f"\r{path}: {done}/{len(mutants)}{left}\033[K", end="", file=sys.stderr)
        return 0

    def _verdict(self, path: str, text: str) -> str:
        """Which tests kill it; empty where it survives."""
        for name, tests in stages(self.copy, path).items():
            key, unchanged = self._key(text, path, tests), self._key(self._text(path), path, tests)
            if self.cache.get(key) is None and (key not in self.cache or key == unchanged):
                limit = 5 + PATIENCE * (self.cache.get(unchanged) or 60)
                self.cache[key] = self._seconds(path, text, tests, limit)
                CACHE.parent.mkdir(exist_ok=True)
                CACHE.with_suffix(".new").write_text(json.dumps(self.cache))
                CACHE.with_suffix(".new").replace(CACHE)
            if self.cache[key] is None:
                return name
        return ""

    def _key(self, text: str, path: str, tests: list[str]) -> str:
        files = [file for test in tests for file in ([test] if test.endswith(".py") else sorted(_below(test)))]
        texts = [Path(file).read_text(encoding="utf-8") for file in files if file != f"{SOURCE}/{path}"]
        return hashlib.sha256("\0".join([self.shared, text, *files, *texts]).encode()).hexdigest()

    def _text(self, path: str) -> str:
        return (self.copy / SOURCE / path).read_text(encoding="utf-8")

    def _seconds(self, path: str, text: str, tests: list[str], limit: float) -> float | None:
        """The processor time in which all tests pass; None where one fails."""
        file = self.copy / SOURCE / path
        original, times = file.read_bytes(), file.stat()
        file.write_text(text, encoding="utf-8")
        # No compiled file is of this second, and none is written.
        os.utime(file, (len(self.cache), len(self.cache)))
        try:
            child = os.fork()
            if not child:
                sys.dont_write_bytecode = text.encode() != original
                os._exit(self._child(path, tests, limit))
            _, status, used = os.wait4(child, 0)
            return None if status else used.ru_utime + used.ru_stime
        finally:
            file.write_bytes(original)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _child(self, path: str, tests: list[str], limit: float) -> int:
        """Run the tests in this process."""
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit)))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        if "VERBOSE" not in os.environ:
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "_hypothesis_pytestplugin"]
        options += ["-o", "addopts=--import-mode=importlib --doctest-modules", "--rootdir", str(self.copy)]
        plugins: list[object] = [_EndAtFailure()]
        if tests[0].startswith("tests/contract") and path not in SUITES:
            plugins.append(_OnlyCasesOf(Path(path).stem))
        code = pytest.main([*options, *tests], plugins=plugins)
        return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else int(code)


class _EndAtFailure:
    """Without a word: writing down how a test failed takes longer than the test."""

    def pytest_runtest_makereport(self, item: object, call: pytest.CallInfo) -> None:
        if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            os._exit(1)


class _OnlyCasesOf:
    """Of tests that run on every method, those of one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def pytest_collection_modifyitems(self, items: list) -> None:
        items[:] = [
            item for item in items if hasattr(item, "callspec") and self.name == item.callspec.params.get("name")
        ]


def _cached() -> dict[str, float | None]:
    return json.loads(CACHE.read_text()) if CACHE.exists() else {}


def _below(folder: str) -> list[str]:
    return [path.as_posix() for path in Path(folder).glob("test_*.py")]


def _listed() -> dict[str, dict[tuple[str, str, str], str]]:
    """The proofs by file and change."""
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")) if EQUIVALENT.exists() else {}
    unproved = [entry for changes in entries.values() for entry in changes if not entry["because"].strip()]
    if unproved:
        raise SystemExit(f"{EQUIVALENT.name}: a proof is missing: {unproved[0]}")
    return {
        path: {(entry["where"], entry["line"], entry["becomes"]): entry["because"] for entry in changes}
        for path, changes in entries.items()
    }


def _entry(path: str, where: str, line: str, becomes: str) -> str:
    values = {"where": where, "line": line, "becomes": becomes, "because": ""}
    return "\n".join([f'[["{path}"]]', *(f"{name} = {_toml(value)}" for name, value in values.items()), ""])


def _toml(value: str) -> str:
    return f"'{value}'" if "'" not in value else f"'''{value}'''"


def _counted(killers: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in killers.most_common())


if __name__ == "__main__":
    sys.exit(main())
