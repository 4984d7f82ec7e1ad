import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.measure.reading.shared_prefix import nodes
from longspan.prompts.example import PromptGroup
from longspan.prompts.needles import Document, Haystack, Noise
from longspan.tasks.niah_depths import NiahDepths
from prompting import TOKENIZERS, material

NEEDLE = re.compile(r"One of the special magic numbers for ([\w-]+) is: (\d{7})\.")


def group(length: int = 2500, index: str = "0", name: str = "BPE", at_once: int = 11) -> PromptGroup:
    return NiahDepths(at_once=at_once).example(material(name), length, index)


@pytest.mark.parametrize("haystack", [Document(), Noise()])
@settings(max_examples=10)
@given(data=st.data())
def test_the_answer_follows_from_the_prompt_alone(haystack: Haystack, data: st.DataObject) -> None:
    """For every tokenizer and setting, by a reader that knows the words of a needle and of a question."""
    length, name = data.draw(st.integers(2500, 4000)), data.draw(st.sampled_from(TOKENIZERS))
    task = NiahDepths(data.draw(st.integers(1, 13)), data.draw(st.integers(1, 15)), haystack=haystack)
    made = task.example(material(name), length, str(data.draw(st.integers(0, 99))))
    assert 0.97 * length <= made.length <= length
    assert len(made.examples) == task.depths
    for example in made.examples:
        found = dict(NEEDLE.findall(example.prompt.text))
        assert 1 <= len(found) <= task.at_once
        asked = re.findall(r"magic number for ([\w-]+) mentioned", example.prompt.text)
        assert {found[key] for key in asked} == set(example.draft.answers)
        assert example.ids == (*material(name).opening, *material(name).encode(example.prompt.text))


def test_depths_are_equally_spaced() -> None:
    """In the text, up to half a sentence; the text is all but the 150 first and last tokens."""
    made = group(5000)
    depths = [example.depths[0] for example in made.examples]
    assert depths == pytest.approx([i / 10 for i in range(11)], abs=0.05)
    assert len({example.draft.answers for example in made.examples}) == 11


@pytest.mark.parametrize("row", ["12,34,56,north\n", "वह रोज़ पानी लाने जाता था। ", "for i in range(12): print(i)\n"])
def test_depths_are_equally_spaced_in_texts_without_the_marks_of_english(row: str) -> None:
    made = NiahDepths().example(material("bytes", row * 600), 8000, "0")
    depths = [example.depths[0] for example in made.examples]
    assert depths == pytest.approx([i / 10 for i in range(11)], abs=0.05)


@pytest.mark.parametrize(("at_once", "texts"), [(11, 1), (4, 3), (1, 11), (99, 1)])
def test_needles_share_texts_as_wanted_and_texts_share_what_comes_before_their_needles(
    at_once: int, texts: int
) -> None:
    made = group(at_once=at_once)
    hidden = [tuple(NEEDLE.findall(example.prompt.text)) for example in made.examples]
    assert len(set(hidden)) == texts
    without = {
        NEEDLE.sub("", "".join(example.prompt.without_needles().context)).split()[0] for example in made.examples
    }
    assert len(without) == 1


def test_what_a_grid_of_11_depths_costs() -> None:
    """Tokens read, over those of 11 separate readings: 1 / 11 and the questions; 1 reading and a half of all others."""
    share = {}
    for at_once in (11, 1):
        prompts = [example.ids for example in group(4096, at_once=at_once).examples]
        share[at_once] = nodes(prompts) / sum(map(len, prompts))
    assert share[11] <= 0.3 / 2
    assert share[1] == pytest.approx(6 / 11, abs=0.05)


def test_an_example_depends_on_length_index_and_settings_alone() -> None:
    assert group() == group()
    assert (
        len(
            {
                group(n, i, at_once=a).examples[3].digest
                for n, i, a in [(2500, "0", 11), (2600, "0", 11), (2500, "1", 11), (2500, "0", 2)]
            }
        )
        == 4
    )


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(InputError, match="niah_depths: at_once must be at least 1, got 0"):
        NiahDepths(at_once=0)
    with pytest.raises(InputError, match="niah_depths/100/0: no example has at most 100 tokens"):
        group(100)
