"""Every method of the library, found by walking its folders: the folder is the registry.

A method of a slot is one file that defines one final `Part`; its name is the file's. Recipes, absolute embeddings and
positions are files that define one function or class of the file's name. What the catalogue says of a method is read
from the file itself: the module docstring's first line, its indented formula, and its `Source:` paragraph.
"""

import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, get_type_hints

from longspan.errors import SchemeError
from longspan.memo import remember
from longspan.plan import Plan
from longspan.registry import defined_in, modules
from longspan.slots import Part

SLOT_FOLDERS = (
    "rotation", "distance", "qk_norm", "scale", "sharpness", "cap", "bias", "mask", "normalizer", "reweight",
)  # fmt: skip
RECIPES = "recipes"
BESIDE = ("absolute", "positions")
"""Folders of what is chosen beside a scheme: what a model adds to its embeddings, and the positions of a batch."""
RECIPE = "recipe"
"""The slot of a method that answers several."""


@dataclass(frozen=True)
class Method:
    """One entry of the catalogue.

    Arguments:
        name: the file's name.
        slot: the field of `Scheme` it answers, "recipe" for a published combination, or the folder of what is chosen
            beside a scheme.
        summary: its plain meaning in one line.
        formula: aligned ASCII.
        source: authors, year, identifier.
        differs: how it differs from the paper; empty where it does not.
        details: the class's docstring: arguments with units and the neutral setting.
        make: the class, or the function; that of a recipe gives its parts, or a plan where layers differ.
    """

    name: str
    slot: str
    summary: str
    formula: str
    source: str
    differs: str
    details: str
    make: Callable[..., Any]

    @property
    def makes_plan(self) -> bool:
        """Whether the recipe gives layers different schemes."""
        return inspect.isfunction(self.make) and get_type_hints(self.make)["return"] is Plan


@remember(None)
def everything() -> tuple[Method, ...]:
    """All methods, folder by folder: parts in the order of the slots, recipes, and what is chosen beside a scheme."""
    folders = (*SLOT_FOLDERS, RECIPES, *BESIDE)
    return tuple(_describe(folder, module) for folder in folders for module in modules(f"longspan.{folder}"))


@remember(None)
def methods() -> dict[str, Method]:
    """The methods that the text of a scheme or a plan may name, by name."""
    found: dict[str, Method] = {}
    for method in everything():
        if method.slot in BESIDE:
            continue
        if other := found.get(method.name):
            raise SchemeError(f"two methods are called {method.name!r}: of {other.slot} and of {method.slot}")
        found[method.name] = method
    return found


def _named(module: ModuleType, name: str) -> Callable[..., Any]:
    """The function or class of the file's name."""
    found = next((value for key, value in vars(module).items() if key.lower() == name and callable(value)), None)
    if found is None:
        raise SchemeError(f"{module.__name__} must define a function or class called {name!r}")
    return found


def _describe(folder: str, module: ModuleType) -> Method:
    name = module.__name__.rpartition(".")[2]
    make = defined_in(module, Part) if folder in SLOT_FOLDERS else _named(module, name)
    slot = make.slot if isinstance(make, type) and issubclass(make, Part) else RECIPE if folder == RECIPES else folder
    text = inspect.getdoc(module) or ""
    first, _, rest = text.partition("\n")
    title, _, summary = first.partition(": ")
    paragraphs = re.split(r"\n(?=Source:|Differs from the paper:)", rest)

    def after(label: str) -> str:
        wanted = next((p for p in paragraphs if p.startswith(label)), "")
        return " ".join(wanted.removeprefix(label).split("\n\n")[0].split())

    formula = "\n".join(line for line in paragraphs[0].splitlines() if line.startswith("    "))
    details = re.sub(r"\n>>> .*?(?=\n\n|\Z)", "", inspect.getdoc(make) or "", flags=re.DOTALL).strip()
    return Method(name, slot, summary or title, textwrap.dedent(formula), after("Source:"),
                  after("Differs from the paper:"), details, make)  # fmt: skip
