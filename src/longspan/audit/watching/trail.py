"""Which tensors were computed from which rotary module: marks that follow every operation.

A model is run on the meta device, where tensors have shapes and no values. Values cannot tell which layers rotate their
queries; marks can. The output of a rotary module carries the module's mark, and every result of an operation carries
the marks of all its inputs.
"""

from collections.abc import Hashable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MARKS = "_longspan_marks"


def marks(tensor: object) -> frozenset[Hashable]:
    """The marks that a tensor carries."""
    return getattr(tensor, MARKS, frozenset())


def mark(tree: Any, added: frozenset[Hashable]) -> None:
    """Add marks to every tensor of a nested structure."""
    for leaf in tree_leaves(tree):
        if isinstance(leaf, Tensor):
            setattr(leaf, MARKS, marks(leaf) | added)


class Trail(TorchDispatchMode):
    """While active, results of operations carry the marks of their inputs."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inherited = frozenset().union(
            *(marks(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        )
        if inherited:
            mark(result, inherited)
        return result
