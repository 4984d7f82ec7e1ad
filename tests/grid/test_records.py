import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faulty_disk import at_every_change, full_after, killed_after, read_only_after, room_for
from longspan.errors import InputError
from longspan.grid.records import Records

KEYS = [{"key": name, "result": name * 200} for name in "abcd"]


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of writes, and nobody pulls the plug."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Records(path) as records:
        records.append({"key": "a", "result": 1})
        assert json.loads(path.read_text()) == {"key": "a", "result": 1}  # on disk at once
        records.append({"key": "b", "result": 2})
    with Records(path) as records:
        assert records.by_key == {"a": {"key": "a", "result": 1}, "b": {"key": "b", "result": 2}}
        assert records.dropped == []


@pytest.mark.parametrize("torn", ['{"key": "b", "res', '{"key": "b"}', "\0\0\0"])
def test_a_torn_last_line_is_dropped_and_nothing_else(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"key": "a"}\n' + torn)
    with Records(path) as records:
        assert list(records.by_key) == ["a"]
        assert records.dropped == [f"{len(torn)} bytes at the end of {path}: no whole record"]
        records.append({"key": "c"})
    assert path.read_text() == '{"key": "a"}\n{"key":"c"}\n'


@pytest.mark.parametrize(
    "line",
    ["nonsense", "", "[]", "{}", '{"key":5}', '{"key":"x"} nonsense', '"{"key":"x"}', '{"key":"cut{"key":5}'],
)
def test_a_strange_line_is_named_and_the_file_left_alone(tmp_path: Path, line: str) -> None:
    path = tmp_path / "results.jsonl"
    text = '{"key": "a"}\n' + line + '\n{"key": "b"}\ntorn'
    path.write_text(text)
    with pytest.raises(InputError, match=r"line 2 of .*results.jsonl is no measurement"):
        Records(path)
    assert path.read_text() == text
    path.write_text("")
    Records(path).close()  # the lock was given back


JSON = st.recursive(
    st.none() | st.integers() | st.text() | st.sampled_from(['{"key":"x"}', '"', "\\", "}{"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text().filter(lambda name: name != "key"), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.lists(st.tuples(JSON, st.integers(0, 300)), min_size=1, max_size=6))
def test_a_line_that_an_older_version_cut_costs_no_other_one(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[Any, int]]
) -> None:
    """That version went on after a cut line, on the same line; `left` bytes of a record reached the disk."""
    path = tmp_path_factory.mktemp("records") / "results.jsonl"
    text, whole = b"", {}
    for number, (result, left) in enumerate(written):
        record = {"key": str(number), "result": result}
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        text += line[:left]
        if left >= len(line):
            whole[record["key"]] = record
    path.write_bytes(text)
    with Records(path) as records:
        assert {key: records.by_key.get(key) for key in whole} == whole
        assert records.dropped or len(records.by_key) == sum(left > 0 for _, left in written)
        assert all(records.by_key[key]["result"] == written[int(key)][0] for key in records.by_key)
        before = dict(records.by_key)
        records.append({"key": "more"})
    with Records(path) as records:
        assert records.by_key == {**before, "more": {"key": "more"}}


def test_a_cut_line_is_named_and_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    text = '{"key":"a"}\n{"key":"b","resu{"ke{"key":"c"}\n{"key":"d"}\n'
    path.write_text(text)
    with Records(path) as records:
        assert list(records.by_key) == ["a", "c", "d"]
        assert records.dropped == [f"20 bytes of line 2 of {path}: no whole record"]
    assert path.read_text() == text


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Records(tmp_path / "results.jsonl"), pytest.raises(InputError, match="another run is writing"):
        Records(tmp_path / "results.jsonl")


def test_a_disk_without_locks_is_no_other_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> None:
        raise OSError(errno.ENOLCK, "x")

    monkeypatch.setattr("fcntl.flock", refused)
    with pytest.raises(InputError, match=r"cannot write .*results.jsonl: No locks available: choose a place"):
        Records(tmp_path / "results.jsonl")


def test_nan_is_never_written(tmp_path: Path) -> None:
    with Records(tmp_path / "results.jsonl") as records, pytest.raises(ValueError, match="JSON compliant"):
        records.append({"key": "a", "result": float("nan")})
    assert (tmp_path / "results.jsonl").read_text() == ""


@pytest.mark.parametrize("room", [0, 1, 100, 219])
def test_a_record_that_does_not_fit_is_taken_back(tmp_path: Path, room: int) -> None:
    path = tmp_path / "results.jsonl"
    with Records(path) as records:
        records.append(KEYS[0])
        text = path.read_bytes()
        with (
            room_for(len(text) + room),
            pytest.raises(InputError, match=r"cannot write .*results.jsonl: File too large"),
        ):
            records.append(KEYS[1])
        assert path.read_bytes() == text
        assert list(records.by_key) == ["a"]
        records.append(KEYS[1])  # there is room again
    with Records(path) as records:
        assert list(records.by_key.values()) == KEYS[:2]
        assert records.dropped == []


def append_all(path: Path, kept: list[str]) -> None:
    with Records(path) as records:
        for record in KEYS:
            if record["key"] not in records.by_key:
                records.append(record)
                kept.append(record["key"])


@pytest.mark.parametrize("disk", [killed_after, full_after, read_only_after])
def test_whatever_happens_to_the_disk_no_record_is_lost(tmp_path: Path, disk: Any) -> None:
    for faulty in at_every_change(disk, least=8):
        path, kept, made_again = tmp_path / f"{faulty.last}.jsonl", list[str](), list[str]()
        with faulty.mounted():
            append_all(path, kept)
        append_all(path, made_again)
        assert not set(kept) & set(made_again)
        with Records(path) as records:
            assert list(records.by_key.values()) == KEYS
        if faulty.refusal and disk is full_after:
            assert faulty.refusal.startswith(f"cannot write {path}: No space left on device (")


@pytest.mark.parametrize(("call", "kept"), [("write", []), ("fsync", ["a"])])
def test_a_record_that_ctrl_c_interrupts_is_taken_back_unless_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, kept: list[str]
) -> None:
    path, real = tmp_path / "results.jsonl", os.write

    def interrupted(file: int, data: bytes = b"") -> None:
        real(file, data[: len(data) // 2])
        raise KeyboardInterrupt

    with Records(path) as records:
        monkeypatch.setattr(os, call, interrupted)
        with pytest.raises(KeyboardInterrupt):
            records.append(KEYS[0])
    with Records(path) as records:
        assert list(records.by_key) == kept
        assert records.dropped == []


@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_files_have_the_modes_that_the_umask_gives(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        Records(tmp_path / "results.jsonl").close()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o666 & ~umask}
