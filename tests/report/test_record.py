import json
from pathlib import Path

import pytest

from longspan.errors import InputError
from longspan.report.record import Records, write_atomically


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Records(path) as records:
        records.append({"key": "a", "result": 1})
        assert json.loads(path.read_text()) == {"key": "a", "result": 1}  # on disk at once
        records.append({"key": "b", "result": 2})
    with Records(path) as records:
        assert records.known == {"a": {"key": "a", "result": 1}, "b": {"key": "b", "result": 2}}


@pytest.mark.parametrize("torn", ['{"key": "b", "res', '{"key": "b"}', "\0\0\0"])
def test_a_torn_last_line_is_dropped_and_nothing_else(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"key": "a"}\n' + torn)
    with Records(path) as records:
        assert list(records.known) == ["a"]
        records.append({"key": "c"})
    assert path.read_text() == '{"key": "a"}\n{"key":"c"}\n'


def test_a_strange_line_is_named_and_the_file_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"key": "a"}\nnonsense\n{"key": "b"}\n')
    with pytest.raises(InputError, match=r"line 2 of .*results.jsonl is no measurement"):
        Records(path)
    assert path.read_text() == '{"key": "a"}\nnonsense\n{"key": "b"}\n'
    path.write_text("")
    Records(path).close()  # the lock was given back


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Records(tmp_path / "results.jsonl"), pytest.raises(InputError, match="another run is writing"):
        Records(tmp_path / "results.jsonl")


def test_nan_is_never_written(tmp_path: Path) -> None:
    with Records(tmp_path / "results.jsonl") as records, pytest.raises(ValueError, match="JSON compliant"):
        records.append({"key": "a", "result": float("nan")})
    assert (tmp_path / "results.jsonl").read_text() == ""


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]
