"""Rotation parameters that note which of their numbers are read while a model is built."""

from typing import Any

Path = tuple[str, ...]


class Reads(dict):
    """A dict that notes what is asked of it, by the keys that lead there; so do the dicts inside it, and its copies.

    Arguments:
        given: what it holds.
        noted: where reads are noted; copies share it.
        path: keys that lead to this dict.
    """

    def __init__(self, given: dict[str, Any], noted: set[Path], path: Path = ()) -> None:
        self.noted, self.path = noted, path
        inner = {
            key: Reads(value, noted, (*path, key)) if isinstance(value, dict) else value for key, value in given.items()
        }
        super().__init__(inner)

    def __getitem__(self, key: str) -> Any:
        self.noted.add((*self.path, key))
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """A value, noted as read."""
        self.noted.add((*self.path, key))
        return super().get(key, default)

    def __deepcopy__(self, memo: Any) -> "Reads":
        return Reads(dict(self.items()), self.noted, self.path)
