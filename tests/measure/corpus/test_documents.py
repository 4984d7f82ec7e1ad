import json
from pathlib import Path
from typing import Any

import pytest

from longspan.errors import InputError
from longspan.measure.corpus import documents
from longspan.measure.corpus.documents import library, opening, tokenize, with_tokens
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


def test_copies_of_a_text_are_one_document_and_are_named(tmp_path: Path) -> None:
    """Wherever a copy lies; texts that only begin alike are one document too, because no more of them is read."""
    tokenizer = words_tokenizer()
    folder = write_texts(tmp_path / "texts", 3, 100)
    alone = library([folder], tokenizer, 90, 9)
    for name in ("text-00 copy.txt", "text-00 (2).txt"):
        (folder / name).write_text((folder / "text-00.txt").read_text() + " and more")
    (folder / "lines.jsonl").write_text(json.dumps({"text": (folder / "text-01.txt").read_text()}))
    found = library([folder], tokenizer, 90, 9)
    assert {document.digest for document in found.documents} == {document.digest for document in alone.documents}
    assert len(found.documents) == found.files == 3
    assert len(found.dropped) == 3
    assert all(" 90 tokens " in line for line in found.dropped)


def test_a_folder_is_read_on_where_files_are_copies(tmp_path: Path) -> None:
    folder = write_texts(tmp_path, 6, 100)
    for path in list(folder.iterdir()):
        path.with_suffix(".copy").write_text(path.read_text())
    for wanted in range(1, 7):
        documents = library([folder], words_tokenizer(), 90, wanted).documents
        assert len({document.digest for document in documents}) == len(documents) == wanted


def test_equal_parts_of_a_file_are_one_document(tmp_path: Path) -> None:
    """A table or a log may repeat itself; no document of it counts twice."""
    tokenizer, (path,) = words_tokenizer(), write_texts(tmp_path, 1, 400).iterdir()
    path.write_text("the sun rose over a quiet valley and nobody spoke " * 40)
    found = library([path], tokenizer, 100, 3)
    assert [document.start for document in found.documents] == [0]
    assert found.dropped == (f"{path}: 3 parts of 100 tokens are equal to others",)


def test_texts_with_tokens_are_listed(tmp_path: Path) -> None:
    """Copies among them, because nothing is counted here."""
    tokenizer, folder = words_tokenizer(), write_texts(tmp_path, 5, 20)
    (folder / "empty.txt").write_text("")
    (folder / "photo.bin").write_bytes(b"\xfe\x00" * 50)
    (folder / "copy.txt").write_text((folder / "text-00.txt").read_text())
    keys = with_tokens([folder], tokenizer)
    assert sorted(Path(key).name for key in keys) == ["copy.txt", *(f"text-0{i}.txt" for i in range(5))]


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    tokenizer = words_tokenizer()
    document = library([write_texts(tmp_path, 1, 100)], tokenizer, 90, 1).documents[0]
    Path(document.path).write_text(prose(100, seed=9))
    for other in (tokenizer, words_tokenizer()):  # the first one read the file before
        with pytest.raises(InputError, match="has changed"):
            document.tokens(other)


def test_a_file_that_changes_is_read_again_and_only_then(tmp_path: Path) -> None:
    """Also one line of many, which are read together."""
    tokenizer, (path,) = words_tokenizer(), write_texts(tmp_path, 1, 100).iterdir()
    assert tokenize(str(path), tokenizer) is tokenize(str(path), tokenizer)
    for name, written in (("text-00.txt", str), ("lines.jsonl", lambda text: json.dumps({"text": text}))):
        for seed in (1, 2):
            text = prose(100, seed)
            (tmp_path / name).write_text(written(text))
            (document,) = library([tmp_path / name], tokenizer, 90, 1).documents
            assert list(document.tokens(tokenizer)) == tokenizer(text)["input_ids"][:90]


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
