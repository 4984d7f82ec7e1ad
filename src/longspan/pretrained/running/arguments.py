"""Finding the arguments of a module's forward in what a hook is given."""

import inspect
from typing import Any

from torch import nn


class Arguments:
    """Finds and replaces arguments of a module's forward by their names, in the args and kwargs of a hook."""

    def __init__(self, module: nn.Module) -> None:
        self.names = tuple(inspect.signature(module.forward).parameters)

    def get(self, name: str, args: tuple, kwargs: dict) -> Any:
        """Return the value of an argument; None where it was not given."""
        if name in kwargs:
            return kwargs[name]
        index = self.names.index(name) if name in self.names else len(args)
        return args[index] if index < len(args) else None

    def put(self, name: str, value: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Return args and kwargs with this value for the argument."""
        index = self.names.index(name)
        if name not in kwargs and index < len(args):
            return (*args[:index], value, *args[index + 1 :]), kwargs
        return args, {**kwargs, name: value}
