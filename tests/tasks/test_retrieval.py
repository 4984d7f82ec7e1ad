import hashlib
import json
import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from longspan import bundled
from longspan.errors import InputError
from longspan.measure.corpus.documents import library
from longspan.measure.models.loading import load_tokenizer
from longspan.task import Example
from longspan.tasks.retrieval import CHOICES, DEPTHS
from prompting import CHINESE
from tiny import bytes_tokenizer, haystack, prose, words_tokenizer

WORDS, BYTES = words_tokenizer(), bytes_tokenizer()
TEXT = prose(3000)


def made(length: int, tokenizer: Any = WORDS, seed: str = "0", **more: Any) -> Example:
    return haystack(tokenizer(TEXT)["input_ids"], tokenizer, length, seed, **more)


@given(st.integers(100, 2500), st.sampled_from(["0", "1"]))
def test_the_longest_prompt_with_its_answer_has_exactly_the_wanted_length(length: int, seed: str) -> None:
    hay = made(length, seed=seed)
    longest = max(len(hay.ids) + len(q.ids) + len(choice) for q in hay.questions for choice in q.choices)
    assert longest == hay.length == length


@pytest.mark.parametrize("tokenizer", [WORDS, BYTES], ids=["words", "bytes"])
def test_the_asked_fact_stands_where_its_distance_says(tokenizer: Any) -> None:
    hay = made(2000, tokenizer)
    for question in hay.questions:
        prompt = [*hay.ids, *question.ids]
        fact = [*question.ids, *question.choices[question.answer]]
        assert prompt[len(prompt) - question.distance :][: len(fact)] == fact


def test_without_the_facts_the_haystack_is_the_document() -> None:
    document = WORDS(TEXT)["input_ids"]
    hay = made(1000)
    rest, place = list(hay.ids), 0
    for question in sorted(hay.questions, key=lambda question: question.distance):
        fact = (*question.ids, *question.choices[question.answer], *WORDS(".")["input_ids"])
        place = next(i for i in range(len(rest)) if tuple(rest[i : i + len(fact)]) == fact)
        del rest[place : place + len(fact)]
    assert rest == document[: len(rest)]


def test_groups_stand_near_their_depths() -> None:
    hay = made(2400)
    for question in hay.questions:
        place = 1 - question.distance / (len(hay.ids) + len(question.ids))
        assert abs(place - question.depth) < 0.06


def test_a_reader_that_prefers_words_whatever_it_read_is_right_exactly_by_chance() -> None:
    """The four facts of a group share their choices, so any order of preference picks each of them once."""
    hay = made(2400)
    preference = {choice: hash(choice) for question in hay.questions for choice in question.choices}
    right = [max(q.choices, key=preference.__getitem__) == q.choices[q.answer] for q in hay.questions]
    assert sum(right) * CHOICES == len(right) == CHOICES * len(DEPTHS)


def test_names_and_words_are_not_used_twice() -> None:
    hay = made(2400)
    assert len({question.ids for question in hay.questions}) == len(hay.questions)
    assert len({question.choices[question.answer] for question in hay.questions}) == len(hay.questions)


def test_the_seed_decides() -> None:
    assert made(600) == made(600)
    assert made(600) != made(600, seed="1")
    assert made(600).questions != made(601).questions


def test_short_haystacks_hold_fewer_facts() -> None:
    assert len(made(200).questions) == CHOICES
    assert len(made(2400).questions) == CHOICES * len(DEPTHS)


def test_truncation_keeps_the_end_and_fits() -> None:
    hay = made(1000, opening=(1,))
    cut = hay.truncated(200, (1,))
    assert cut.length == 200
    assert cut.ids[0] == hay.ids[0] == 1
    assert cut.ids[1:] == hay.ids[-len(cut.ids) + 1 :]
    assert hay.truncated(1000, (1,)) == hay


def test_facts_are_not_the_documents_own_and_leave_the_last_tokens_alone() -> None:
    document = WORDS(TEXT)["input_ids"][:1000]
    hay = haystack(document, WORDS, 900, "0", (1,), tail=300)
    own = [token for token, is_own in zip(hay.ids, hay.own, strict=True) if is_own]
    assert own == document[: len(own)]
    facts = len(hay.ids) - 1 - len(own)
    assert facts > 0
    assert all(hay.own[-300:])
    assert not all(hay.own[-400:])
    cut = hay.truncated(600, (1,))
    assert len(cut.own) == len(cut.ids)
    assert cut.own[1:] == hay.own[-len(cut.ids) + 1 :]


def test_too_short_is_refused() -> None:
    with pytest.raises(InputError, match="leave no room"):
        made(40)
    with pytest.raises(InputError, match="the document has 10 tokens"):
        haystack(list(range(10)), WORDS, 100, "0")
    with pytest.raises(InputError, match="no more than the question"):
        made(1000).truncated(5)


CHARACTERS = sorted({*CHINESE, *string.printable})


def characters_tokenizer() -> PreTrainedTokenizerFast:
    """One token per character."""
    tokenizer = Tokenizer(models.WordLevel({c: i for i, c in enumerate(CHARACTERS)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?")


def marked_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word with SentencePiece's mark of a space, which decoding one token loses."""
    words = [word for word in (*WORDS.get_vocab(), ",") if word.isalpha()]
    vocabulary = {token: i for i, token in enumerate(["<unk>", ".", "?", *words, *(f"▁{word}" for word in words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    marks = pre_tokenizers.Split(Regex("[.?]"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(prepend_scheme="first"), marks])
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


@pytest.mark.parametrize(
    ("tokenizer", "text"),
    [
        (marked_tokenizer(), TEXT.replace(".", "")),
        (bytes_tokenizer(), TEXT.replace(".", "")),
        (characters_tokenizer(), CHINESE.translate({ord(mark): "，" for mark in "。！？"})),
        (bytes_tokenizer(), CHINESE.translate({ord(mark): "，" for mark in "。！？"})),
        (bytes_tokenizer(), "वह रोज़ पानी लाने जाता था। " * 400),
        (bytes_tokenizer(), "12,34,56,north\n" * 800),
    ],
    ids=["words with a mark", "bytes", "Chinese characters", "Chinese bytes", "Hindi", "table"],
)
@pytest.mark.parametrize("length", [700, 2400])
def test_facts_are_near_their_depths_without_the_marks_of_sentences(tokenizer: Any, text: str, length: int) -> None:
    hay = haystack(tokenizer(text, verbose=False)["input_ids"], tokenizer, length, "0")
    before = [sum(hay.own[: len(hay.ids) + len(q.ids) - q.distance]) / sum(hay.own) for q in hay.questions]
    assert before == pytest.approx([q.depth for q in hay.questions], abs=0.03)
    assert "\ufffd" not in tokenizer.decode(hay.ids).rstrip("\ufffd")  # a document may end within a character


def test_words_and_sentences_are_not_cut_where_there_are_enough() -> None:
    """In words with SentencePiece's mark, as in words that are decoded with their space."""
    for tokenizer, text in ((marked_tokenizer(), TEXT.replace(".", "")), (BYTES, TEXT.replace(".", ""))):
        hay = haystack(tokenizer(text)["input_ids"], tokenizer, 1200, "0")
        tokens = [str(token) for token in tokenizer.convert_ids_to_tokens(list(hay.ids))]
        after = [i for i in range(1, len(tokens)) if hay.own[i] and not hay.own[i - 1]]
        assert len(after) > 2
        assert all(tokens[i][0] in "▁Ġ" for i in after)


def test_facts_of_texts_with_sentences_stay_where_they_were() -> None:
    """Finished studies hold records of these very prompts: short ones with words, long ones with sentences."""
    tokenizer, found = load_tokenizer(bundled.NAME), []
    for length in (512, 2048):
        digest = hashlib.sha256()
        for document in library(bundled.documents(), tokenizer, length, 8).documents[:8]:
            example = haystack(document.tokens(tokenizer), tokenizer, length, f"0/{document.digest}", tail=64)
            digest.update(json.dumps([example.ids, [question.distance for question in example.questions]]).encode())
        found.append(digest.hexdigest()[:16])
    assert found == ["2335a04a297a1390", "769553bc9c783979"]


def test_facts_are_between_chinese_sentences() -> None:
    """With one token per character; where a mark is a part of a token, words have to do."""
    whole = characters_tokenizer()
    text = "".join(CHARACTERS[i] for i in haystack(whole(CHINESE)["input_ids"], whole, 2400, "0").ids)
    before = re.findall(r"(.) The secret code of", text)
    assert len(before) >= 8
    assert set(before) <= {"。", "！", "？", "."}
