"""README.md and docs/methods.md are what docs/generate.py makes, and every line of code in README.md runs."""

import importlib.util
import io
import re
import shlex
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest
import torch

from longspan.cli import main
from tiny import llama, save_model, write_texts

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LONGER = 100
"""Tokens of the prompt: more than the tiny model was trained on."""
LINES = [
    line
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line and not language
]
"""What README.md types into a shell."""
SMALLER = {"--budget 2": "--budget 0.0001 --docs 2 --method yarn", "32k": "256", "32768": "256"}
"""Sizes that the tests have time for."""


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    specification = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_generated_files_are_up_to_date(generator: ModuleType) -> None:
    for path, text in generator.generated().items():
        assert path.read_text(encoding="utf-8") == text, f"run python docs/generate.py: {path.name} is out of date"


def test_every_method_is_listed(generator: ModuleType) -> None:
    text = (ROOT / "docs" / "methods.md").read_text()
    for name in generator.methods():
        assert f"| `{name}` | " in text


def test_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippets in one namespace, in their order, with a prompt beyond the trained length."""
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(snippets) == 3
    state = torch.randn(1, 2, LONGER, 16)
    ids = torch.randint(2, 50, (1, LONGER))
    tokens = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    names = {"model": llama(50), "tokens": tokens, "query": state, "key": state, "value": state}
    with torch.no_grad():
        for snippet in snippets:
            exec(snippet, names)
    assert (tmp_path / "extended" / "config.json").exists()


def run(line: str) -> str:
    """What a line of the shell prints."""
    out, err = io.StringIO(), io.StringIO()
    typed = patch.object(sys, "argv", shlex.split(line))
    with redirect_stdout(out), redirect_stderr(err), typed, pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code, (line, err.getvalue())
    return out.getvalue()


def test_shell_lines_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a tiny model and tiny texts, one line after the other, as a reader would."""
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "MODEL")
    write_texts(tmp_path / "docs", 4, 256)
    typed = [line for line in LINES if line.startswith("longspan ")]
    assert len(typed) == 5
    assert set(LINES) - set(typed) == {"pip install -c constraints.txt torch", "pip install -c constraints.txt ."}
    for line in typed:
        for given, smaller in SMALLER.items():
            line = line.replace(given, smaller)
        if line.startswith("longspan extend MODEL"):
            line += " --method yarn --docs 2 --dtype float32"
        if line.startswith("longspan export longspan-MODEL"):
            line += " --method yarn"  # two documents give no verdict
        assert run(line)
    assert (tmp_path / "longspan-MODEL-256" / "report.html").exists()
    assert (tmp_path / "longspan-MODEL-256" / "model" / "config.json").exists()


def test_what_the_readme_says_of_methods_is_a_command() -> None:
    assert 'longspan methods "yarn + log_length"' in README
    assert run('longspan methods "yarn + log_length"').startswith("yarn (rotation)")


def names_of(requirements: list[str]) -> set[str]:
    found = {re.split(r"[\[<>=~;! ]", requirement)[0].lower().replace("_", "-") for requirement in requirements}
    return found - {"longspan"}


def test_what_the_readme_installs_is_pinned() -> None:
    """Every package of the project and of its extras has one version in constraints.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+-]+", pin) for pin in pins)
    pinned = names_of(pins)
    extras = project["optional-dependencies"]
    assert "'.[documents]'" in README
    for name, needed in {"": project["dependencies"], **extras}.items():
        assert names_of(needed) <= pinned, name


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)", README))))
def test_every_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert link.startswith("https://") or (ROOT / link).exists()


def test_the_version_is_one() -> None:
    import longspan

    assert f"version: {longspan.__version__}\n" in (ROOT / "CITATION.cff").read_text()
