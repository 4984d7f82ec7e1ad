import json
import os
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from faulty_disk import Disk, at_every_change, full_after, killed_after, read_only_after
from longspan.disk import replaced_folder, writing
from longspan.errors import InputError
from longspan.grid import folder as module
from longspan.grid.folder import identity_of
from longspan.study.planning.subject import Subject
from longspan.study.storing.folder import StudyFolder

SUBJECT = Subject("model", "float32", "fingerprint", 64, 256)
OTHER = Subject("model", "float32", "fingerprint", 64, 512)
KEYS = ["a", "b", "c"]
FILES = ["model", "report.html", "results.jsonl", "run.json", "summary.json"]


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of writes, and nobody pulls the plug."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def extend(folder: Path, text: str) -> list[str]:
    """What the command does to its folder: measures what is missing, and writes what it found."""
    made = []
    with StudyFolder(folder, SUBJECT) as study:
        for key in KEYS:
            if key not in study.records.by_key:
                study.records.append({"key": key})
                made.append(key)
        with writing(folder / "model"), replaced_folder(folder / "model") as fresh:
            (fresh / "config.json").write_text(text)
            (fresh / "weights").write_text(text)
        study.write("summary.json", text)
        study.write("report.html", text)
    return made


def finished(folder: Path) -> set[str]:
    """The measurements that are on disk; half a line is none."""
    path = folder / "results.jsonl"
    whole = path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []
    return {json.loads(line)["key"] for line in whole}


def model(folder: Path) -> set[str]:
    return {path.read_text() for path in (folder / "model").iterdir()} if (folder / "model").exists() else set()


@pytest.mark.parametrize("again", [False, True], ids=["the first run", "a later run"])
@pytest.mark.parametrize("disk", [killed_after, read_only_after, full_after])
def test_the_same_command_goes_on_whatever_happened_to_the_disk(tmp_path: Path, disk: Any, again: bool) -> None:
    for faulty in at_every_change(disk, least=12):
        folder = tmp_path / str(faulty.last) / "out"
        if again:
            extend(folder, "old")
        with faulty.mounted():
            extend(folder, "new")
        if disk is full_after:
            refused(faulty, folder)
        before = finished(folder)
        with StudyFolder(folder, SUBJECT):
            assert model(folder) in ({"old"} if again else set(), {"new"})
            assert not [name for name in os.listdir(folder) if name.startswith(".")]
        assert set(extend(folder, "newer")) == set(KEYS) - before
        assert finished(folder) == set(KEYS)
        assert sorted(os.listdir(folder)) == FILES
        assert (folder / "report.html").read_text() == (folder / "summary.json").read_text() == "newer"
        assert model(folder) == {"newer"}


def refused(faulty: Disk, folder: Path) -> None:
    """A full disk is one line, and nothing half written remains."""
    assert (faulty.refusal is not None) == faulty.failed
    if faulty.refusal:
        assert faulty.refusal.startswith(f"cannot write {folder}")
        assert "No space left on device (" in faulty.refusal
        assert "\n" not in faulty.refusal
    if folder.exists():
        assert not [name for name in os.listdir(folder) if name.startswith(".")]
        assert not (folder / "results.jsonl").exists() or finished(folder) <= set(KEYS)


def test_a_run_that_comes_second_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looked before the first one had written anything, and both found the folder empty."""
    folder = tmp_path / "out"
    with StudyFolder(folder, SUBJECT):
        before = {path: path.read_bytes() for path in folder.iterdir()}
        monkeypatch.setattr(module, "identity_of", lambda folder: None)
        monkeypatch.setattr(module, "_may_begin", lambda folder: True)
        with pytest.raises(InputError, match=r"another run is writing to .*out: wait for it, or give another --out"):
            StudyFolder(folder, OTHER)
        assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_run_that_waited_too_long_is_refused_under_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one has come and gone between its look and its lock."""
    folder, real = tmp_path / "out", module.identity_of

    def looked(folder: Path) -> Any:
        monkeypatch.setattr(module, "identity_of", real)
        StudyFolder(folder, SUBJECT).records.close()

    monkeypatch.setattr(module, "identity_of", looked)
    monkeypatch.setattr(module, "_may_begin", lambda folder: True)
    with pytest.raises(InputError, match=r"holds other results \(length 256, not 512\)"):
        StudyFolder(folder, OTHER)
    StudyFolder(folder, SUBJECT).records.close()  # the lock was given back


def test_of_runs_that_start_at_once_one_begins(tmp_path: Path) -> None:
    def start(subject: Subject) -> None:
        together.wait()
        try:
            begun.append(StudyFolder(folder, subject))
        except InputError as error:
            refusals.append(str(error))

    for number in range(100):
        folder, together, begun, refusals = tmp_path / str(number), Barrier(2), list[StudyFolder](), list[str]()
        threads = [Thread(target=start, args=(subject,)) for subject in (SUBJECT, OTHER)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ((winner,), (refusal,)) = begun, refusals
        assert identity_of(folder) == winner.identity
        assert sorted(os.listdir(folder)) == ["results.jsonl", "run.json"]
        assert "another run is writing" in refusal or "holds other results" in refusal
        winner.records.close()


def litter(folder: Path) -> list[str]:
    """Make what killed runs left, of this version and of older ones, and things of the user."""
    for name in (".summary.json.12", ".report.html.345", ".run.json.6"):
        (folder / name).write_text("half")
    for name in (".model", "..model.ab12cd_8", ".model.partial/new", "notes", ".git"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("half")
    (folder / ".summary.json.bak").write_text("mine")
    return ["notes", ".git", ".summary.json.bak"]


def test_what_a_killed_run_left_is_cleared_away_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    extend(folder, "text")
    kept = litter(folder)
    StudyFolder(folder, SUBJECT).records.close()
    assert sorted(os.listdir(folder)) == sorted([*FILES, *kept])
    assert model(folder) == {"text"}


def test_nothing_is_cleared_away_while_another_run_is_at_work(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with StudyFolder(folder, SUBJECT):
        litter(folder)
        before = sorted(os.listdir(folder))
        with pytest.raises(InputError, match="another run is writing"):
            StudyFolder(folder, SUBJECT)
        assert sorted(os.listdir(folder)) == before


def test_a_model_that_had_moved_aside_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    extend(folder, "text")
    (folder / ".model.partial").mkdir()
    (folder / "model").rename(folder / ".model.partial" / "old")
    with StudyFolder(folder, SUBJECT):
        assert model(folder) == {"text"}


@pytest.mark.parametrize("name", ["thesis.tex", "run.json.12", ".run.json.bak", ".model", "results.jsonl"])
def test_a_folder_that_no_run_has_begun_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / ".run.json.12").write_text("half")
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match="exists and holds no results of this command: give another --out"):
        StudyFolder(tmp_path, SUBJECT)
    assert sorted(os.listdir(tmp_path)) == sorted([".run.json.12", name])


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="exists and holds no results"):
        StudyFolder(tmp_path / "out", SUBJECT)
    with pytest.raises(InputError, match=r"cannot write .*out.deep: Not a directory: choose a place"):
        StudyFolder(tmp_path / "out" / "deep", SUBJECT)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "\udcff"])
def test_an_unreadable_run_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"run.json is not readable: give another --out"):
        StudyFolder(tmp_path, SUBJECT)
