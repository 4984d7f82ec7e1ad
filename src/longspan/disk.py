"""Write files and folders so that a kill, a full disk or a second process cannot spoil them.

A folder is filled beside its final place and moved there by a rename. Everything temporary lies in one folder,
`.NAME.partial`, which the next writer of NAME recovers and reuses.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import AcquireReturnProxy, FileLock, Timeout
from rich.filesize import decimal

from longspan.errors import InputError

RUST = re.compile(r"\(os error (\d+)\)")
"""How libraries in Rust (safetensors, tokenizers) name a system error inside their own exceptions."""


@contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """Report a write that the system refuses as one line.

    Arguments:
        path: what the block writes.
        size: bytes that it takes, where known.

    Errors: InputError for every error of the system.
    """
    try:
        yield
    except Exception as error:
        number = _system_error(error)
        if number is None:
            raise
        raise InputError(_refusal(path, number, size)) from error


def require_room(path: Path, size: int) -> None:
    """Check that a disk has room before anything is written to it.

    Errors: InputError where fewer than `size` bytes are free.
    """
    free = _free(path)
    if free is not None and free < size:
        raise InputError(_refusal(path, errno.ENOSPC, size))


def write_all(file: int, data: bytes) -> None:
    """Write all of `data` to a file descriptor; one call of `os.write` may write less on a nearly full disk."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's text: at any moment the file holds either the old text or all of the new one.

    Errors: InputError where it cannot be written; nothing is left of the new text then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder, which becomes `folder` when the block ends without an error.

    Errors: InputError where another process writes `folder`; OSError where something fills `folder` meanwhile.
    """
    folder = folder.resolve()
    with _workspace(folder) as work:
        yield (new := _made(work / "new"))
        _share(new)
        new.rename(folder)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder, which takes the place of whatever `folder` holds when the block ends without an error.

    The old folder moves aside, the new one moves in, then the old one is removed. After a kill between the two moves
    `recover_folder`, or the next writer, puts the old one back.

    Errors: InputError where another process writes `folder`.
    """
    folder = folder.absolute()
    with _workspace(folder) as work:
        yield (new := _made(work / "new"))
        _share(new)
        if os.path.lexists(folder):
            folder.rename(work / "old")
        new.rename(folder)


def recover_folder(folder: Path) -> None:
    """Remove what a killed writer of `folder` left, and put back the old folder if it had moved aside.

    Errors: InputError where another process writes `folder`.
    """
    folder = folder.absolute()
    if _work(folder).exists():
        with _workspace(folder):
            pass


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _work(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial")


@contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """Hold the folder beside `folder` where its new content is made: one process at a time, and gone afterwards."""
    work = _work(folder)
    work.mkdir(parents=True, exist_ok=True)
    try:
        with _lock(work, folder):
            _settle(folder, work)
            try:
                yield work
            finally:
                _settle(folder, work)
                remove(work / "lock")  # while it is held: a process that waits for this file finds it deleted
    finally:
        with suppress(OSError):  # another process may have come in
            work.rmdir()


def _lock(work: Path, folder: Path) -> AcquireReturnProxy:
    try:
        return FileLock(work / "lock", blocking=False).acquire()
    except Timeout:
        raise InputError(f"another process is writing {folder}: wait for it, or choose another place") from None


def _settle(folder: Path, work: Path) -> None:
    """Bring `folder` to its old or its new state, whatever a writer has left in its workspace."""
    new, old = work / "new", work / "old"
    if os.path.lexists(old) and not os.path.lexists(folder):
        old.rename(folder)
    remove(new)
    remove(old)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _share(folder: Path) -> None:
    """Give every file the mode that the umask gives new files; some libraries write files for their owner only."""
    usual = folder.stat().st_mode & 0o666  # a new folder has it too, and asking for the umask would change it
    for path in folder.rglob("*"):
        mode = path.stat().st_mode
        if path.is_file() and usual & ~mode:
            path.chmod(mode | usual)


def _system_error(error: Exception) -> int | None:
    """The number of the system error behind an exception."""
    if isinstance(error, OSError):
        return error.errno
    found = RUST.search(str(error))
    return int(found[1]) if found else None


def _refusal(path: Path, number: int, size: int | None) -> str:
    if number not in (errno.ENOSPC, errno.EDQUOT):
        return f"cannot write {path}: {os.strerror(number)}: choose a place that can be written to"
    space = {"free": _free(path), "needed": size}
    known = [f"{decimal(count)} {word}" for word, count in space.items() if count is not None]
    named = f" ({', '.join(known)})" if known else ""
    return f"cannot write {path}: {os.strerror(number)}{named}: free some space, or choose another place"


def _free(path: Path) -> int | None:
    """Bytes left on the disk of `path`, where that can be found."""
    existing = next((place for place in (path, *path.absolute().parents) if place.exists()), path)
    try:
        return shutil.disk_usage(existing).free
    except OSError:
        return None
