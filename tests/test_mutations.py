"""What `make mutants` changes, and what it leaves alone."""

import pytest

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
