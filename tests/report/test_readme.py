"""README.md is what docs/generate.py makes of the committed results and the catalogue."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


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
    text = (ROOT / "README.md").read_text()
    for name in generator.methods():
        assert f"- `{name}`: " in text
