from hypothesis import given
from hypothesis import strategies as st

from longspan.prompts.prompt import Prompt

PIECES = st.lists(st.sampled_from(["red. ", "blue. ", "green. "]), min_size=1, max_size=8)
PROMPT = Prompt("Read. ", ("one. ", "needle. ", "two. "), "\nWhich?", (1,))


def test_the_text_has_no_white_space_between_context_and_question() -> None:
    assert PROMPT.text == "Read. one. needle. two.\nWhich?"
    assert PROMPT.up_to(1) == "Read. one. "


def test_controls() -> None:
    assert PROMPT.question_alone().text == "Read. \nWhich?"
    assert PROMPT.without_needles().text == "Read. one. two.\nWhich?"


@given(PIECES, st.text(max_size=3))
def test_shuffling_keeps_the_pieces_and_follows_the_needle(pieces: list[str], seed: str) -> None:
    prompt = Prompt("", ("needle. ", *pieces), "?", (0,))
    shuffled = prompt.shuffled(seed)
    assert sorted(shuffled.context) == sorted(prompt.context)
    assert [shuffled.context[i] for i in shuffled.needles] == ["needle. "]
    assert shuffled == prompt.shuffled(seed)


def test_shuffling_changes_the_order() -> None:
    prompt = Prompt("", tuple("abcdefghij"), "?")
    assert prompt.shuffled("0").text != prompt.text
