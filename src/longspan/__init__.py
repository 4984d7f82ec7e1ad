"""longspan: train short, test long.

The public names load on first use, so that `longspan --help` needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longspan.catalogue import methods as methods
    from longspan.compute.attend import attend as attend
    from longspan.compute.cache import Cache as Cache
    from longspan.geometry import Geometry as Geometry
    from longspan.notation import parse as parse
    from longspan.plan import Plan as Plan
    from longspan.pretrained.attach import attached as attached
    from longspan.pretrained.attach import design as design
    from longspan.pretrained.attach import detach as detach
    from longspan.pretrained.attach import extend as extend
    from longspan.pretrained.storing.save import load as load
    from longspan.pretrained.storing.save import save as save
    from longspan.scheme import Scheme as Scheme

__version__ = "0.1.0.dev0"

_HOMES = {
    "Cache": "compute.cache",
    "Geometry": "geometry",
    "Plan": "plan",
    "Scheme": "scheme",
    "attached": "pretrained.attach",
    "attend": "compute.attend",
    "design": "pretrained.attach",
    "detach": "pretrained.attach",
    "extend": "pretrained.attach",
    "load": "pretrained.storing.save",
    "methods": "catalogue",
    "parse": "notation",
    "save": "pretrained.storing.save",
}

__all__ = [
    "Cache",
    "Geometry",
    "Plan",
    "Scheme",
    "attached",
    "attend",
    "design",
    "detach",
    "extend",
    "load",
    "methods",
    "parse",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'longspan' has no attribute {name!r}")
    return getattr(import_module(f"longspan.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
