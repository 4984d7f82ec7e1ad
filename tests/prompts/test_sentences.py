import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan import bundled
from longspan.prompts.sentences import LONGEST, PIECE, SHARE, sentences, spaced


@given(st.text(st.sampled_from('ab .!?。！？”"\n)'), max_size=40))
def test_no_character_but_white_space_is_lost(text: str) -> None:
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(found)
    assert all(sentence == " ".join(sentence.split()) for sentence in found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two! Three?", ("One.", "Two!", "Three?")),
        ("Pi is 3.14 or so. Yes", ("Pi is 3.14 or so.", "Yes")),
        ("He left…  She (too.) stayed.", ("He left…", "She (too.)", "stayed.")),
        ("天黑了。下雨！谁？", ("天黑了。", "下雨！", "谁？")),
        ("他说：“天黑了。”我走。", ("他说：“天黑了。”", "我走。")),
        ("वह आया। वह गया॥ क्यों?", ("वह आया।", "वह गया॥", "क्यों?")),
        ("بارش ہوئی۔ کیا ہوا؟ کچھ نہیں", ("بارش ہوئی۔", "کیا ہوا؟", "کچھ نہیں")),
        ("", ()),
        ("  \n ", ()),
    ],
)
def test_sentences(text: str, found: tuple[str, ...]) -> None:
    assert sentences(text) == found


@given(st.lists(st.text(st.sampled_from("ab ,，"), max_size=400), max_size=30), st.sampled_from([". ", "। ", " ", ""]))
def test_no_piece_is_much_of_a_text_and_no_character_but_white_space_is_lost(parts: list[str], mark: str) -> None:
    text = mark.join(parts)
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(len(piece) <= max(LONGEST, len(" ".join(text.split())) * SHARE) for piece in found)
    if all(len(part) <= LONGEST // 2 for part in parts) and mark == ". ":
        assert all(piece.endswith(".") for piece in found[:-1])


def test_a_table_is_cut_between_its_rows() -> None:
    rows = [f"{i},{7919 * i % 1000},north" for i in range(400)]
    found = sentences("\n".join(rows))
    assert " ".join(found).split() == rows
    assert max(map(len, found)) <= PIECE
    assert len(found) > len("".join(rows)) / PIECE


def test_sentences_of_the_bundled_documents_are_not_cut() -> None:
    """Finished surveys hold records of these very prompts."""
    digest = hashlib.sha256()
    for path in bundled.documents():
        digest.update("\n".join(sentences(path.read_text(encoding="utf-8"))).encode())
    assert digest.hexdigest()[:16] == "73f2348d6e5b4f00"


def test_only_spaced_scripts_get_spaces() -> None:
    assert spaced(["One.", "天黑了。", "“下雨！”", "Two"]) == ["One. ", "天黑了。", "“下雨！”", "Two "]
