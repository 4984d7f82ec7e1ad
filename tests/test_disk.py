import errno
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faulty_disk import at_every_change, full_after, killed_after, read_only_after
from longspan import disk
from longspan.disk import new_folder, recover_folder, remove, replaced_folder, write_all, write_atomically, writing
from longspan.errors import InputError

FILES = ("config.json", "deep/weights")


def fill(folder: Path, text: str) -> None:
    (folder / "deep").mkdir()
    for name in FILES:
        (folder / name).write_text(text)


def content(folder: Path) -> set[str]:
    """The one text of all files of a whole folder."""
    return {(folder / name).read_text() for name in FILES} if folder.exists() else set()


def replace(folder: Path, text: str) -> None:
    with writing(folder), replaced_folder(folder) as fresh:
        fill(fresh, text)


def make(folder: Path, text: str) -> None:
    with writing(folder), new_folder(folder) as fresh:
        fill(fresh, text)


@pytest.mark.parametrize("old", [{"old"}, set()], ids=["old", "none"])
def test_a_folder_is_replaced_whole_or_not_at_all_whenever_the_writer_is_killed(tmp_path: Path, old: set[str]) -> None:
    for faulty in at_every_change(killed_after, least=12):
        folder = tmp_path / str(faulty.last) / "model"
        for text in old:
            make(folder, text)
        with faulty.mounted():
            replace(folder, "new")
        recover_folder(folder)
        assert content(folder) in ((old, {"new"}) if faulty.failed else ({"new"},))
        if folder.parent.exists():
            assert os.listdir(folder.parent) == ["model"] * folder.exists()


@pytest.mark.parametrize("old", [{"old"}, set()], ids=["old", "none"])
def test_the_next_writer_needs_no_recovery(tmp_path: Path, old: set[str]) -> None:
    for faulty in at_every_change(killed_after, least=12):
        folder = tmp_path / str(faulty.last) / "model"
        for text in old:
            make(folder, text)
        with faulty.mounted():
            replace(folder, "new")
        replace(folder, "newer")
        assert content(folder) == {"newer"}
        assert os.listdir(folder.parent) == ["model"]


def test_a_recovery_may_be_killed_as_well(tmp_path: Path) -> None:
    for first in range(16):
        for second in at_every_change(killed_after):
            folder = tmp_path / f"{first} {second.last}" / "model"
            make(folder, "old")
            with killed_after(first).mounted():
                replace(folder, "new")
            with second.mounted():
                recover_folder(folder)
            recover_folder(folder)
            assert content(folder) in ({"old"}, {"new"})
            assert os.listdir(folder.parent) == ["model"]


@pytest.mark.parametrize(("write", "old"), [(make, set()), (replace, {"old"})])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, write: Callable[[Path, str], None], old: set[str]
) -> None:
    for faulty in at_every_change(full_after, least=5):
        folder = tmp_path / str(faulty.last) / "model"
        folder.parent.mkdir()
        for text in old:
            make(folder, text)
        with faulty.mounted():
            write(folder, "new")
        if not faulty.failed:
            assert content(folder) == {"new"}
            break
        assert faulty.refusal
        assert faulty.refusal.startswith(f"cannot write {folder}: No space left on device (")
        assert "\n" not in faulty.refusal
        assert content(folder) == old
        assert os.listdir(folder.parent) == ["model"] * len(old)


def test_a_disk_that_takes_no_more_is_one_line_and_costs_nothing(tmp_path: Path) -> None:
    for faulty in at_every_change(read_only_after, least=12):
        folder = tmp_path / str(faulty.last) / "model"
        make(folder, "old")
        with faulty.mounted():
            replace(folder, "new")
        told = f"cannot write {folder}: Read-only file system: choose a place that can be written to"
        assert faulty.refusal in (told, None)  # None: the new folder was in place, and only what is temporary remained
        recover_folder(folder)
        assert content(folder) in (({"old"}, {"new"}) if faulty.failed else ({"new"},))
        assert os.listdir(folder.parent) == ["model"]


def test_an_error_of_the_block_comes_through_and_leaves_nothing(tmp_path: Path) -> None:
    def fail(write: Callable[[Path], AbstractContextManager[Path]]) -> None:
        with writing(tmp_path), write(tmp_path / "model") as fresh:
            (fresh / "half").write_text("half")
            raise ZeroDivisionError

    make(tmp_path / "model", "old")
    for write in (new_folder, replaced_folder):
        with pytest.raises(ZeroDivisionError):
            fail(write)
    assert content(tmp_path / "model") == {"old"}
    assert os.listdir(tmp_path) == ["model"]


def test_a_new_folder_replaces_nothing(tmp_path: Path) -> None:
    def meanwhile() -> None:
        with writing(tmp_path), new_folder(tmp_path / "model") as fresh:
            fill(fresh, "new")
            (tmp_path / "model").mkdir()
            fill(tmp_path / "model", "of another program")

    with pytest.raises(InputError, match="Directory not empty"):
        meanwhile()
    assert content(tmp_path / "model") == {"of another program"}
    assert os.listdir(tmp_path) == ["model"]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with replaced_folder(tmp_path / "model") as fresh:
        fill(fresh, "first")
        for second in (make, replace):
            with pytest.raises(InputError, match=r"another process is writing .*model: wait for it"):
                second(tmp_path / "model", "second")
        with pytest.raises(InputError, match="another process is writing"):
            recover_folder(tmp_path / "model")
    assert content(tmp_path / "model") == {"first"}
    assert os.listdir(tmp_path) == ["model"]


def test_writers_who_race_leave_one_whole_folder(tmp_path: Path) -> None:
    def write(number: int) -> None:
        start.wait()
        try:
            replace(folder, str(number))
            written.append(number)
        except InputError:
            pass

    for round in range(40):
        folder, start, written = tmp_path / str(round) / "model", Barrier(3), list[int]()
        folder.parent.mkdir()
        threads = [Thread(target=write, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (found,) = content(folder)
        assert int(found) in written
        assert os.listdir(folder.parent) == ["model"]


def test_a_link_is_followed_by_a_new_folder_and_replaced_by_another(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "model").symlink_to("elsewhere")
    make(tmp_path / "model", "new")
    assert content(tmp_path / "elsewhere") == {"new"}
    replace(tmp_path / "model", "newer")
    assert not (tmp_path / "model").is_symlink()
    assert content(tmp_path / "model") == {"newer"}
    assert content(tmp_path / "elsewhere") == {"new"}


@pytest.mark.parametrize("write", [new_folder, replaced_folder])
@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o027, 0o077])
def test_files_and_folders_have_the_modes_that_the_umask_gives(
    tmp_path: Path, umask: int, write: Callable[[Path], AbstractContextManager[Path]]
) -> None:
    before = os.umask(umask)
    try:
        with write(tmp_path / "model") as fresh:
            fill(fresh, "text")
            (fresh / "deep/weights").chmod(0o600)  # as some libraries leave their files
            (fresh / "script").touch(0o700)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "model", *(tmp_path / "model").rglob("*")]}
    file, folder = 0o666 & ~umask, 0o777 & ~umask
    assert modes == {"model": folder, "deep": folder, "config.json": file, "weights": file, "script": file | 0o700}


def test_a_disk_without_modes_is_not_asked_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some refuse every change of a mode; files there have all the modes that they can have."""
    monkeypatch.setattr(os, "chmod", lambda *_, **__: pytest.fail("a mode was changed"))
    make(tmp_path / "model", "text")
    assert content(tmp_path / "model") == {"text"}


@given(st.binary(), st.lists(st.integers(1, 5)))
def test_all_of_it_is_written_however_little_a_call_takes(data: bytes, sizes: list[int]) -> None:
    found = bytearray()

    def write(file: int, rest: memoryview) -> int:
        taken = bytes(rest[: sizes[len(found) % len(sizes)] if sizes else None])
        found.extend(taken)
        return len(taken)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk.os, "write", write)
        write_all(0, data)
    assert bytes(found) == data


def test_a_system_error_that_a_library_in_rust_hides_is_found() -> None:
    words = r"cannot write /no: Disk quota exceeded \(.* free, 1\.5 MB needed\): free some space"
    for error in (OSError(errno.EDQUOT, "x"), RuntimeError(f"I/O error: no quota (os error {errno.EDQUOT})")):
        with pytest.raises(InputError, match=words), writing(Path("/no"), 1_500_000):
            raise error


def test_the_room_that_is_left_is_named_where_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")

    def refused() -> str:
        with pytest.raises(InputError) as raised, writing(tmp_path / "new" / "model"):
            raise OSError(errno.ENOSPC, "x")
        return str(raised.value)

    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage({tmp_path: 2_000}[path]))
    assert "No space left on device (2.0 kB free): free some space" in refused()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: os.stat(tmp_path / "nothing"))
    assert "No space left on device: free some space" in refused()


@pytest.mark.parametrize("error", [ValueError("wrong"), OSError("without a number"), InputError("known")])
def test_other_errors_come_through(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, writing(Path("x")):
        raise error
    assert raised.value is error


def test_whatever_is_there_is_removed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    fill(tmp_path / "kept", "kept")
    (tmp_path / "folder").mkdir()
    fill(tmp_path / "folder", "text")
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("kept")
    (tmp_path / "dangling").symlink_to("nothing")
    for name in ("folder", "file", "link", "dangling", "missing"):
        remove(tmp_path / name)
    assert os.listdir(tmp_path) == ["kept"]
    assert content(tmp_path / "kept") == {"kept"}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.parametrize("disk", [killed_after, full_after, read_only_after])
def test_a_file_holds_the_old_text_or_the_new_one(tmp_path: Path, disk: Any) -> None:
    for faulty in at_every_change(disk, least=2):
        path = tmp_path / str(faulty.last) / "summary.json"
        path.parent.mkdir()
        write_atomically(path, "old")
        with faulty.mounted():
            write_atomically(path, "new")
        assert path.read_text() == ("old" if faulty.failed else "new")
        if disk is full_after:
            assert os.listdir(path.parent) == ["summary.json"]
            assert not faulty.refusal or faulty.refusal.startswith(f"cannot write {path}: No space left on device (")


def test_all_of_the_text_is_forced_to_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced = []
    monkeypatch.setattr(os, "fsync", lambda file: forced.append((os.fstat(file).st_size, os.listdir(tmp_path))))
    write_atomically(tmp_path / "summary.json", "text")
    assert forced == [(4, [f".summary.json.{os.getpid()}"])]


@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_a_replaced_file_has_the_mode_that_the_umask_gives(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "summary.json", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "summary.json").stat().st_mode & 0o777 == 0o666 & ~umask
