"""A disk that fails: from its n-th change on, whatever would change a file or a folder raises an error instead."""

import builtins
import errno
import io
import os
import resource
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from longspan.errors import InputError

GROWTH = ("open", "write", "mkdir", "fsync")
"""What needs space."""
CHANGES = (*GROWTH, "ftruncate", "replace", "rename", "unlink", "remove", "rmdir", "chmod")


class Killed(BaseException):
    """The process is dead: nothing that it still tries reaches the disk."""


@dataclass
class Disk:
    """Counts its changes.

    Arguments:
        last: how many of them succeed.
        calls: which ones fail afterwards.
        error: with what.
        ends: the error that a block on this disk may end with.
        failed: whether a change failed.
        refusal: what the error said that ended the block.
    """

    last: int
    calls: Collection[str]
    error: Callable[[], BaseException]
    ends: type[BaseException] = InputError
    made: int = 0
    failed: bool = False
    refusal: str | None = None

    def change(self, name: str) -> None:
        """Count a change, or fail."""
        self.made += 1
        if self.made > self.last and name in self.calls:
            self.failed = True
            raise self.error()

    def call(self, name: str) -> Callable[..., Any]:
        """A function of `os`."""
        real = getattr(os, name)

        def changed(*arguments: Any, **options: Any) -> Any:
            self.change(name)
            return real(*arguments, **options)

        return changed

    def write(self, file: int, data: bytes, real: Callable[[int, bytes], int] = os.write) -> int:
        """`os.write`, half done where it fails."""
        try:
            self.change("write")
        except BaseException:
            real(file, data[: len(data) // 2])
            raise
        return real(file, data)

    def open(self, path: Any, flags: int, *more: Any, real: Callable[..., int] = os.open, **options: Any) -> int:
        """`os.open`, which makes files."""
        if flags & os.O_CREAT:
            self.change("open")
        return real(path, flags, *more, **options)

    def open_file(self, file: Any, mode: str = "r", *more: Any, real: Any = io.open, **options: Any) -> Any:
        """`open`, which makes files."""
        if set(mode) & set("wax+"):
            self.change("open")
        return real(file, mode, *more, **options)

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """What happens in the block happens on this disk."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CHANGES:
                patch.setattr(os, name, self.call(name))
            patch.setattr(os, "write", self.write)
            patch.setattr(os, "open", self.open)
            patch.setattr(io, "open", self.open_file)
            patch.setattr(builtins, "open", self.open_file)
            try:
                yield
            except self.ends as error:
                assert self.failed
                self.refusal = str(error)


def killed_after(changes: int) -> Disk:
    """The process is killed in its next change after so many."""
    return Disk(changes, CHANGES, Killed, Killed)


def full_after(changes: int) -> Disk:
    """The disk is full after so many changes: it still moves and removes."""
    return Disk(changes, GROWTH, lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def read_only_after(changes: int) -> Disk:
    """After so many changes the disk takes no more: a network drive that was lost, or rights that were withdrawn."""
    return Disk(changes, CHANGES, lambda: OSError(errno.EROFS, os.strerror(errno.EROFS)))


def at_every_change(disk: Callable[[int], Disk], least: int = 0) -> Iterator[Disk]:
    """A disk that fails at once, one that fails after one change, after two …, until one has not failed.

    Arguments:
        least: how many must have failed.
    """
    for changes in count():
        faulty = disk(changes)
        yield faulty
        if not faulty.failed:
            assert changes >= least
            return


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """The system itself cuts what makes a file larger than that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
