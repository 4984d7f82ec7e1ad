import json
from pathlib import Path
from typing import Any

import pytest

from longspan.errors import InputError
from longspan.measure.corpus import documents
from longspan.measure.corpus.documents import library, opening, tokenize
from longspan.measure.corpus.texts import Text
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
    (tmp_path / "photo.bin").write_bytes(b"\xfe\x00" * 500)
    (tmp_path / ".hidden").write_text(prose(100))
    found = library([tmp_path], words_tokenizer(), 90, 4)
    assert [Path(line.split(":")[0]).name for line in found.dropped] == ["empty.txt", "photo.bin", "short.txt"]
    assert len(found.documents) == 1


def test_a_named_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "photo.bin").write_bytes(b"\xfe\x00" * 500)
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


def test_each_line_of_a_jsonl_file_is_a_document_of_its_own(tmp_path: Path) -> None:
    """The same documents, in another order, as from as many files."""
    tokenizer = words_tokenizer()
    folder = write_texts(tmp_path / "files", 3, 100)
    texts = [path.read_text() for path in sorted(folder.iterdir())]
    path = tmp_path / "texts.jsonl"
    rows = [{"text": texts[0]}, {"text": "too short"}, {"id": 7}, {"text": texts[1]}, {"text": texts[2]}]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\nno json\n")
    found = library([path], tokenizer, 90, 4)
    assert found.files == 3
    assert [document.name for document in found.documents] == [f"texts.jsonl:{line}" for line in (1, 4, 5)]
    assert found.dropped == (f"{path}: 3 lines have fewer than 90 tokens, or no text",)
    assert {document.digest for document in found.documents} == {
        document.digest for document in library([folder], tokenizer, 90, 3).documents
    }
    assert found.documents[1].tokens(tokenizer) == found.documents[1].tokens(words_tokenizer())


def test_a_file_whose_name_looks_like_a_line_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl:2"
    path.write_text("whole")
    assert Text.of(str(path)).read() == "whole"
    assert Text.of(str(tmp_path / "b.jsonl:2")) == Text(tmp_path / "b.jsonl", 2)


def test_a_jsonl_file_is_read_no_further_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def watched(path: str, tokenizer: Any) -> tuple[int, ...]:
        read.append(path)
        return tokenize(path, tokenizer)

    monkeypatch.setattr(documents, "tokenize", watched)
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"text": prose(100, seed)}) for seed in range(9)))
    assert len(library([tmp_path / "t.jsonl"], words_tokenizer(), 90, 4).documents) == len(read) == 4
