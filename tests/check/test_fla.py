"""The installed operators obey; mistakes that are put back into copies of their files are found."""

import shutil
from pathlib import Path

import pytest

from longspan.check.fla import operators, outcomes
from longspan.errors import InputError

MISTAKES = {
    "the state is forgotten (issue 494)": ("linear_attn", "        S = S + kv_init", "        S = S"),
    "the delta rule forgets it (issue 494)": (
        "gated_delta_rule",
        "        h = initial_state.to(torch.float32)",
        "        pass",
    ),
    "the slots forget their values (issue 494)": ("gsa", "        hv += initial_state[1]", "        pass"),
    "the first chunk's state is left out": ("simple_gla", "        S = initial_state\n", "        pass\n"),
    "the state does not fall inside a chunk": ("simple_gla", "S = S * decay[:, :, i, -1, None, None].exp()", "S = S"),
    "retention's decay starts elsewhere": ("retention", "pow(-5.", "pow(-4."),
    "a chunk sees its own keys twice": ("linear_attn", "kv[:, :, :-1]], dim=2)", "kv[:, :, :-1]], dim=2) + kv"),
}
KNOWN = ("naive_retention", "is the recurrence at 3072 tokens")
"""What version 0.6 breaks: powers of pairs in the future overflow before 0 hides them, and infinity times 0 is NaN."""


def copied(folder: Path) -> Path:
    """The installed operators in a folder of their own."""
    for name in ("linear_attn", "simple_gla", "retention", "gated_delta_rule", "gsa"):
        (folder / name).mkdir()
        shutil.copy(operators() / name / "naive.py", folder / name / "naive.py")
    return folder


def broken(folder: Path | None = None) -> set[tuple[str, str]]:
    return {(each.operator, each.law) for each in outcomes(folder) if not each.holds}


def test_the_installed_operators_obey_but_for_one() -> None:
    found = list(outcomes())
    assert len(found) == 26
    assert {(each.operator, each.law) for each in found if not each.holds} == {KNOWN}


def test_they_all_obey_once_it_is_mended(tmp_path: Path) -> None:
    path = copied(tmp_path) / "retention" / "naive.py"
    text = path.read_text(encoding="utf-8")
    difference = "(n.unsqueeze(-1) - n)"
    assert text.count(difference) == 1
    path.write_text(text.replace(difference, f"{difference}.clamp(min=0)"), encoding="utf-8")
    assert broken(tmp_path) == set()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(tmp_path: Path, mistake: str) -> None:
    where, old, new = MISTAKES[mistake]
    path = copied(tmp_path) / where / "naive.py"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    found = broken(tmp_path) - {KNOWN}
    assert found
    if "494" in mistake:
        assert {law for _, law in found} == {f"reads on after {cut} tokens" for cut in (1, 37, 64)}


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longspan.check.fla.find_spec", lambda name: None)
    with pytest.raises(InputError, match="is not installed: pip install fla-core"):
        list(outcomes())
    with pytest.raises(InputError, match=r"has no .*naive.py: this check knows version 0.6"):
        list(outcomes(tmp_path))
