"""Every method of the library, found by walking its folders: the folder is the registry.

A method of a slot, and a mixer, is one file that defines one final `Part`; its name is the file's. Recipes, absolute
embeddings and positions are files that define one function or class of the file's name. What the catalogue says of a
method is read from the file itself (`descriptions.py`): the module docstring's first line, its indented formula, and
its `Source:` paragraph.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from longspan.descriptions import BESIDE, MIXERS, RECIPES, SLOT_FOLDERS, Description, describe
from longspan.descriptions import RECIPE as RECIPE
from longspan.errors import SchemeError
from longspan.memo import remember
from longspan.plan import Plan
from longspan.registry import defined_in, modules, registered
from longspan.slots import Mixer, Part


@dataclass(frozen=True)
class Method(Description):
    """One entry of the catalogue.

    Arguments:
        make: the class, or the function; that of a recipe gives its parts, or a plan where layers differ.
    """

    make: Callable[..., Any]

    @property
    def makes_plan(self) -> bool:
        """Whether the recipe gives layers different schemes."""
        return inspect.isfunction(self.make) and get_type_hints(self.make)["return"] is Plan


@remember(None)
def everything() -> tuple[Method, ...]:
    """All methods, folder by folder: parts in the order of the slots, recipes, mixers, and what is beside a scheme."""
    folders = (*SLOT_FOLDERS, RECIPES, MIXERS, *BESIDE)
    return tuple(_describe(folder, module) for folder in folders for module in modules(f"longspan.{folder}"))


@remember(None)
def methods() -> dict[str, Method]:
    """The methods that the text of a scheme may name, and recipes of plans, by name."""
    found: dict[str, Method] = {}
    for method in everything():
        if method.slot in (MIXERS, *BESIDE):
            continue
        if other := found.get(method.name):
            raise SchemeError(f"two methods are called {method.name!r}: of {other.slot} and of {method.slot}")
        found[method.name] = method
    return found


@remember(None)
def mixers() -> dict[str, type[Mixer]]:
    """What a layer of a plan may have in place of softmax attention, by name."""
    return registered(f"longspan.{MIXERS}", Mixer)


def _named(module: ModuleType, name: str) -> Callable[..., Any]:
    """The function or class of the file's name."""
    found = next((value for key, value in vars(module).items() if key.lower() == name and callable(value)), None)
    if found is None:
        raise SchemeError(f"{module.__name__} must define a function or class called {name!r}")
    return found


def _describe(folder: str, module: ModuleType) -> Method:
    assert module.__file__ is not None
    described = describe(Path(module.__file__))
    make = defined_in(module, Part) if folder in (*SLOT_FOLDERS, MIXERS) else _named(module, described.name)
    return Method(**vars(described), make=make)
