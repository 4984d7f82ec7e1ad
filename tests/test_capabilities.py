"""docs/capabilities.md says what the code does."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("capabilities", DOCS / "capabilities.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "capabilities.md").read_text(encoding="utf-8") == module.page(), "run python docs/capabilities.py"
