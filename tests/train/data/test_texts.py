"""What a training reads is what a measurement reads: the same files, the same texts."""

import json
from pathlib import Path

import pytest

from longspan.errors import InputError
from longspan.measure.corpus.documents import library
from longspan.train.data.texts import prepared
from tiny import bytes_tokenizer, prose

WORDS = prose(40)


def written(folder: Path) -> Path:
    """A text in every form that needs no package, each with its own first letter, and a hidden file."""
    folder.mkdir()
    (folder / "a.txt").write_text("a" + WORDS, encoding="utf-8")
    (folder / "b.txt").write_text("b" + WORDS, encoding="utf-16")
    lines = [json.dumps({"text": letter + WORDS}) for letter in "cd"]
    (folder / "c.JSONL").write_text(f"{lines[0]}\n\n{lines[1]}\n", "utf-8-sig")
    (folder / ".hidden").write_bytes(b"\0\0")
    return folder


def test_training_reads_every_form_that_measuring_reads(tmp_path: Path) -> None:
    made = prepared([str(written(tmp_path / "texts"))], bytes_tokenizer(), tmp_path / "ids")
    ids = made.tokens.reshape(4, -1)
    assert (ids[:, 1:] == ids[0, 1:]).all()
    documents = library([tmp_path / "texts"], bytes_tokenizer(), ids.shape[1], 4).documents
    measured = {document.tokens(bytes_tokenizer()) for document in documents}
    assert measured == set(map(tuple, ids.tolist()))
    assert len(measured) == 4


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("a.txt", WORDS.encode("utf-16-le"), "iconv -f UTF-16LE"),
        ("a.txt", b"caf\xe9 " * 40, "iconv -f LATIN1"),
        ("a.jsonl", b'{"text": "caf\xe9"}', "iconv -f LATIN1"),
        ("a.jsonl", b'{"body": "x"}', 'field "text"'),
        ("a.pdf", b"no pdf", "no PDF"),
    ],
)
def test_a_file_without_a_text_is_one_line(tmp_path: Path, name: str, content: bytes, hint: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=hint) as raised:
        prepared([str(tmp_path / name)], bytes_tokenizer(), tmp_path / "ids")
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "ids").exists()
