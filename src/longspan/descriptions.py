"""What the file of a method says of itself, read as text: importing it would import torch, which takes seconds."""

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from longspan.errors import LongspanError

SLOT_FOLDERS = (
    "rotation", "distance", "qk_norm", "scale", "sharpness", "cap", "bias", "mask", "normalizer", "reweight", "memory",
)  # fmt: skip
RECIPES = "recipes"
MIXERS = "mixers"
"""The folder of what a layer may have in place of softmax attention."""
BESIDE = ("absolute", "positions")
"""Folders of what is chosen beside a scheme: what a model adds to its embeddings, and the positions of a batch."""
RECIPE = "recipe"
"""The slot of a method that answers several."""
SOURCE = Path(__file__).parent


@dataclass(frozen=True)
class Description:
    """What a file says of its method.

    Arguments:
        name: the file's name.
        slot: the field of `Scheme` it answers, "recipe" for a published combination, "mixers" for what replaces a
            scheme, or the folder of what is chosen beside one.
        summary: its plain meaning in one line.
        formula: aligned ASCII.
        source: authors, year, identifier.
        differs: how it differs from the paper; empty where it does not.
        details: the class's docstring: arguments with units and the neutral setting.
    """

    name: str
    slot: str
    summary: str
    formula: str
    source: str
    differs: str
    details: str


def descriptions() -> tuple[Description, ...]:
    """All methods, folder by folder: parts in the order of the slots, recipes, mixers, and what is beside a scheme."""
    folders = (*SLOT_FOLDERS, RECIPES, MIXERS, *BESIDE)
    files = [path for folder in folders for path in sorted((SOURCE / folder).glob("*.py"))]
    return tuple(describe(path) for path in files if path.name != "__init__.py")


def describe(path: Path) -> Description:
    """Read one file.

    Errors: LongspanError for a file that defines nothing of its name.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name, folder = path.stem, path.parent.name
    text = ast.get_docstring(tree) or ""
    first, _, rest = text.partition("\n")
    title, _, summary = first.partition(": ")
    paragraphs = re.split(r"\n(?=Source:|Differs from the paper:)", rest)

    def after(label: str) -> str:
        wanted = next((p for p in paragraphs if p.startswith(label)), "")
        return " ".join(wanted.removeprefix(label).split("\n\n")[0].split())

    formula = "\n".join(line for line in paragraphs[0].splitlines() if line.startswith("    "))
    defined = _defined(tree, path)
    bases = defined.bases if isinstance(defined, ast.ClassDef) else []
    directs = any(isinstance(base, ast.Name) and base.id == "Direction" for base in bases)  # a slot without a folder
    slot = RECIPE if folder == RECIPES else "direction" if directs else folder
    details = inspect.cleandoc(ast.get_docstring(defined) or "")
    details = re.sub(r"\n>>> .*?(?=\n\n|\Z)", "", details, flags=re.DOTALL).strip()
    return Description(
        name,
        slot,
        summary or title,
        textwrap.dedent(formula),
        after("Source:"),
        after("Differs from the paper:"),
        details,
    )


def _defined(tree: ast.Module, path: Path) -> ast.ClassDef | ast.FunctionDef:
    """Return what the file defines: whatever has its name, as papers spell it, or its one class."""
    defined = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    named = [node for node in defined if node.name.lower() in (path.stem, path.stem.replace("_", ""))]
    public = [node for node in defined if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    found = named or public
    if len(found) != 1:
        raise LongspanError(f"{path} must define one class, or a function, called {path.stem}")
    return found[0]
