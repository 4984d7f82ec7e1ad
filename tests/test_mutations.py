"""What `make mutants` changes, and what it leaves alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from mutants import ROOT, copy_tree, stages
from mutations import mutants


def becomes(text: str) -> set[str]:
    return {mutant.becomes for mutant in mutants(text)}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("a < b", {"a <= b"}),
        ("a is None", {"a is not None"}),
        ("(a) not in b", {"(a) in b"}),
        ("a * (b + c)", {"a", "(b + c)", "a * (b - c)"}),
        ("a // b", {"a"}),
        ("-a", {"a"}),
        ("f(not a)", {"pass", "f(a)"}),
        ("x = min(a, b)", {"x = max(a, b)"}),
        ("x = y.clamp(min=a, max=b)", {"x = y.clamp(max=b)", "x = y.clamp(min=a)"}),
        ("x = torch.clamp(y, max=b)", {"x = y"}),
        ("x = y.clamp(-a, b)", {"x = y.clamp(max=b)", "x = y.clamp(min=-a)", "x = y.clamp(a, b)"}),
        ("x = y.abs()", {"x = y"}),
        ("x = 0", {"x = 1"}),
        ("x = 1.0", {"x = 0.0"}),
        ("x = 7", {"x = 8"}),
        ("x = True", {"x = False"}),
        ("x = a if b else c", {"x = a if not b else c"}),
        ('x: Literal["half", "interleaved"] = "half"', {'x: Literal["half", "interleaved"] = \'interleaved\''}),
        ("a and b", {"a or b"}),
    ],
)
def test_one_change_at_a_time(line: str, wanted: set[str]) -> None:
    assert becomes(f"{line}\n") == wanted


@pytest.mark.parametrize(
    "line", ['"""1 < 2"""', "raise E(1 + 2)", "f'{1 + 2}'", "def f(x: 'a < 1') -> 1 | 2: ...", "@f(1)\ndef g(): ..."]
)
def test_words_stay(line: str) -> None:
    assert not mutants(f"{line}\n")


def test_of_a_requirement_only_the_condition_changes() -> None:
    assert becomes("x = self.require(a < 1, f(2), 3)\n") == {
        "x = self.require(a <= 1, f(2), 3)",
        "x = self.require(a < 0, f(2), 3)",
    }


def test_it_says_where() -> None:
    (mutant,) = mutants("class A:\n    def f(self):\n        return self < (  # < is\n            2j)\n")
    assert (mutant.where, mutant.number) == ("A.f", 3)
    assert mutant.text == "class A:\n    def f(self):\n        return self <= (  # < is\n            2j)\n"


@pytest.mark.parametrize(
    ("path", "first", "count"),
    [
        ("rotation/yarn.py", "tests/rotation/test_yarn.py", 3),
        ("measure/statistics/racing.py", "tests/measure/statistics/test_racing.py", 2),
        ("study/decision.py", "tests/study/test_decision.py", 2),
        ("errors.py", "src/longspan/errors.py", 1),
    ],
)
def test_a_file_meets_its_mirrored_test_first(path: str, first: str, count: int) -> None:
    """What is no method meets no contract suite."""
    found = list(stages(ROOT, path).values())
    assert found[0] == [first]
    assert len(found) == count
    assert all((ROOT / test).exists() for tests in found for test in tests)


def test_the_copy_that_mutants_live_in_has_the_bundled_data(tmp_path: Path) -> None:
    copy_tree(tmp_path)
    program = "from longspan import bundled; print(len(bundled.documents()), bundled.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    count, file = ran.stdout.split()
    assert int(count) > 0
    assert file.startswith(str(tmp_path))
