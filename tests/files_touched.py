"""The files of `longspan.compute` that a call passes.

How it counts: `sys.setprofile` sees every Python function that the call enters. A file counts when code of it below
src/longspan/compute/ runs. Generated code ("<string>", as the constructors of named tuples) has no file, and the
wrappers of the type checker, which only tests install, lie outside of that folder. A file is passed twice where the
stack of calls leaves it for another file of that folder and comes back further down.
"""

import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from types import FrameType

import longspan.compute

HOME = f"{Path(longspan.compute.__file__).parent}/"


def visited(call: Callable[[], object]) -> tuple[list[str], set[tuple[str, ...]]]:
    """The files that a call passes, and the ways down that pass one twice."""
    stack: list[str | None] = []
    files: set[str] = set()
    twice: set[tuple[str, ...]] = set()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            path = frame.f_code.co_filename
            stack.append(path.removeprefix(HOME) if path.startswith(HOME) else None)
            if stack[-1]:
                way = tuple(name for name, _ in groupby(filter(None, stack)))
                files.add(stack[-1])
                if len(way) > len(set(way)):
                    twice.add(way)
        elif event == "return" and stack:
            stack.pop()

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return sorted(files), twice
