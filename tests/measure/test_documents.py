from pathlib import Path
from typing import Any

import pytest

from longspan.errors import InputError
from longspan.measure import documents
from longspan.measure.documents import library, opening, tokenize
from tiny import prose, words_tokenizer, write_texts


def test_documents_have_the_wanted_length_and_come_from_different_files(tmp_path: Path) -> None:
    tokenizer = words_tokenizer()
    found = library([write_texts(tmp_path, 5, 100)], tokenizer, 90, 4)
    assert len(found.documents) == found.files == 4
    for document in found.documents:
        whole = tokenizer(Path(document.path).read_text(), add_special_tokens=False)["input_ids"]
        assert list(document.tokens(tokenizer)) == whole[:90]


def test_too_few_files_are_cut_into_disjoint_parts(tmp_path: Path) -> None:
    tokenizer = words_tokenizer()
    found = library([write_texts(tmp_path, 2, 300)], tokenizer, 90, 5)
    assert found.files == 2
    assert [document.start for document in found.documents] == [0, 0, 90, 90, 180]
    assert len({document.path for document in found.documents[:2]}) == 2


def test_short_and_unreadable_files_are_dropped_by_name(tmp_path: Path) -> None:
    write_texts(tmp_path, 1, 100)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "short.txt").write_text("sunrise " * 60)
    (tmp_path / "photo.bin").write_bytes(b"\xff\xfe" * 500)
    (tmp_path / ".hidden").write_text(prose(100))
    found = library([tmp_path], words_tokenizer(), 90, 4)
    assert [Path(line.split(":")[0]).name for line in found.dropped] == ["empty.txt", "photo.bin", "short.txt"]
    assert len(found.documents) == 1


def test_a_named_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "photo.bin").write_bytes(b"\xff\xfe" * 500)
    with pytest.raises(InputError, match=r"photo.bin is no UTF-8 text"):
        library([tmp_path / "photo.bin"], words_tokenizer(), 90, 4)


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file or folder .*nowhere"):
        library([tmp_path / "nowhere"], words_tokenizer(), 90, 4)


def test_a_file_given_twice_counts_once(tmp_path: Path) -> None:
    write_texts(tmp_path, 1, 100)
    found = library([tmp_path, tmp_path / "text-00.txt"], words_tokenizer(), 90, 1)
    assert len(found.documents) == 1


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    tokenizer = words_tokenizer()
    document = library([write_texts(tmp_path, 1, 100)], tokenizer, 90, 1).documents[0]
    Path(document.path).write_text(prose(100, seed=9))
    with pytest.raises(InputError, match="has changed"):
        document.tokens(words_tokenizer())


@pytest.mark.parametrize(("with_bos", "ids"), [(False, ()), (True, (1,))])
def test_opening_is_what_the_tokenizer_puts_first(with_bos: bool, ids: tuple[int, ...]) -> None:
    assert opening(words_tokenizer(with_bos)) == ids


def test_folders_are_read_no_further_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_texts(tmp_path, 9, 100)
    read: list[str] = []

    def watched(path: str, tokenizer: Any) -> tuple[int, ...]:
        read.append(path)
        return tokenize(path, tokenizer)

    monkeypatch.setattr(documents, "tokenize", watched)
    found = library([folder], words_tokenizer(), 90, 4)
    assert [document.path for document in found.documents] == read
    assert len(read) == 4
    assert found.documents == library([folder], words_tokenizer(), 90, 9).documents[:4]
