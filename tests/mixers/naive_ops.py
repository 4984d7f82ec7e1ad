"""flash-linear-attention's naive operators, read from their files: importing the package would need triton."""

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def naive(path: str) -> ModuleType:
    """A file of fla/ops, as a module of its own."""
    package = find_spec("fla")
    assert package is not None
    assert package.submodule_search_locations is not None
    spec = spec_from_file_location(path.replace("/", "_"), Path(package.submodule_search_locations[0]) / "ops" / path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
