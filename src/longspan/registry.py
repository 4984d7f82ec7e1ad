"""A folder is a registry: each file of a package defines one class, and its name is the file's name."""

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import TypeVar

from longspan.errors import LongspanError

_Base = TypeVar("_Base")


def registered(package: str, base: type[_Base]) -> dict[str, type[_Base]]:
    """Import every file of a package and return the one subclass of `base` that each defines, by the file's name.

    Errors: LongspanError for a file that defines none or several.
    """
    return {name_of(found): found for found in (defined_in(module, base) for module in modules(package))}


def modules(package: str) -> list[ModuleType]:
    """Import every file of a package, in the order of their names."""
    return [import_module(f"{package}.{name}") for name in names_in(package)]


def names_in(package: str) -> list[str]:
    """Return the names of a package's files, sorted, without importing them."""
    return sorted(info.name for info in pkgutil.iter_modules(import_module(package).__path__))


def defined_in(module: ModuleType, base: type[_Base]) -> type[_Base]:
    """Return the one subclass of `base` that a module itself defines.

    Errors: LongspanError where it defines none or several.
    """
    defined = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, base)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    if len(defined) != 1:
        raise LongspanError(f"{module.__name__} must define exactly one {base.__name__}, it defines {len(defined)}")
    return defined[0]


def name_of(registered: type) -> str:
    """Return the name of a registered class: the name of its file."""
    return registered.__module__.rpartition(".")[2]
