"""flash-linear-attention's naive operators."""

from types import ModuleType

from longspan.check.fla import module_of, operators


def naive(path: str) -> ModuleType:
    """A file of fla/ops, as a module of its own."""
    return module_of(operators() / path)
