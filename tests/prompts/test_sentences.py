import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.prompts.sentences import sentences, spaced


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
        ("", ()),
        ("  \n ", ()),
    ],
)
def test_sentences(text: str, found: tuple[str, ...]) -> None:
    assert sentences(text) == found


def test_only_spaced_scripts_get_spaces() -> None:
    assert spaced(["One.", "天黑了。", "“下雨！”", "Two"]) == ["One. ", "天黑了。", "“下雨！”", "Two "]
