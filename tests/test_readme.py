"""README.md and docs/methods.md are what docs/generate.py makes, and the Python of README.md runs."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tiny import llama

ROOT = Path(__file__).parents[1]
LONGER = 100
"""Tokens of the prompt: more than the tiny model was trained on."""


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
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 3
    state = torch.randn(1, 2, LONGER, 16)
    ids = torch.randint(2, 50, (1, LONGER))
    tokens = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "max_new_tokens": 2}
    names = {"model": llama(50), "tokens": tokens, "query": state, "key": state, "value": state}
    with torch.no_grad():
        for snippet in snippets:
            exec(snippet, names)
    assert (tmp_path / "extended" / "config.json").exists()
