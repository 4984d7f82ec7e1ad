"""Generated pages say what the code does and what was measured."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("script", "written"),
    [("docs/capabilities.py", "docs/capabilities.md"), ("benchmarks/table.py", "benchmarks/README.md")],
)
def test_page_is_up_to_date(script: str, written: str) -> None:
    spec = importlib.util.spec_from_file_location("page", ROOT / script)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / written).read_text(encoding="utf-8") == module.page(), f"run python {script}"
