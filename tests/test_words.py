"""One word per idea (docs/architecture.md, glossary): words that were dropped do not come back."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"] + [
    ROOT / "docs" / f"{name}.md" for name in ("architecture", "audit", "measure", "methods")
]
MODULES = sorted((ROOT / "src" / "longspan").rglob("*.py"))
DROPPED = {
    "told(?! apart)": "mapped, given or reported",
    "shall": "must, will or the plain present",
    "he|his|him": "they, or a noun",
    "turned|turning": "rotated, rotation",
    "said to be|said to stand": "mapped to, or has the position",
    "Patchwork": "BatchedSteps",
    "Standing|standing at": "frame, position",
    "Remembered": "TensorCache",
}
"""A pattern of whole words, and what to write instead."""


def found(text: str) -> list[str]:
    """The dropped words of a text, with their lines and what to write instead."""
    return [
        f"line {number}: {match[0]!r}, write {instead}"
        for number, line in enumerate(text.splitlines(), 1)
        for words, instead in DROPPED.items()
        for match in re.finditer(rf"\b(?:{words})\b", line)
    ]


@pytest.mark.parametrize("path", [*PAGES, *MODULES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_dropped_words_stay_away(path: Path) -> None:
    assert found(path.read_text(encoding="utf-8")) == []


def test_dropped_words_are_noticed() -> None:
    assert len(found("keys are told where they stand\nhe shall be turned; two that cannot be told apart return")) == 4
