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


def test_the_installed_operators_obey() -> None:
    found = list(outcomes())
    assert len(found) == 25
    assert [each for each in found if not each.holds] == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(tmp_path: Path, mistake: str) -> None:
    where, old, new = MISTAKES[mistake]
    for name in ("linear_attn", "simple_gla", "retention", "gated_delta_rule", "gsa"):
        (tmp_path / name).mkdir()
        shutil.copy(operators() / name / "naive.py", tmp_path / name / "naive.py")
    path = tmp_path / where / "naive.py"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    broken = [each for each in outcomes(tmp_path) if not each.holds]
    assert broken
    if "494" in mistake:
        assert {each.law for each in broken} == {f"reads on after {cut} tokens" for cut in (1, 37, 64)}


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longspan.check.fla.find_spec", lambda name: None)
    with pytest.raises(InputError, match="is not installed: pip install fla-core"):
        list(outcomes())
    with pytest.raises(InputError, match=r"has no .*naive.py: this check knows version 0.6"):
        list(outcomes(tmp_path))
