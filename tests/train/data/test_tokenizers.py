"""Tokenizers made for training: what they decode is what they encoded."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from longspan.train.data.tokenizers import END, MASK, byte_tokenizer, symbol_tokenizer

SYMBOLS = symbol_tokenizer(["Sort: 0 1 2 3 4 5 6 7 8 9\nAnswer: a b", "0123456789"])
BYTES = byte_tokenizer()


@given(text=st.text(max_size=40))
def test_bytes_are_bytes(text: str) -> None:
    ids = BYTES(text)["input_ids"]
    assert len(ids) == len(text.encode())
    assert BYTES.decode(ids) == text


@given(numbers=st.lists(st.integers(0, 99999), min_size=1, max_size=8))
def test_symbols_come_back_as_the_text_that_they_were(numbers: list[int]) -> None:
    text = f"Sort: {' '.join(map(str, numbers))}\nAnswer: {' '.join(map(str, sorted(numbers)))}"
    ids = SYMBOLS(text)["input_ids"]
    assert SYMBOLS.decode(ids) == text
    assert len(ids) == 3 + 2 * sum(len(str(number)) for number in numbers)  # Sort: \n Answer: and digits


@pytest.mark.parametrize(("tokenizer", "mask"), [(BYTES, None), (byte_tokenizer([MASK]), 257), (SYMBOLS, 1)])
def test_the_end_is_the_first_token_and_a_mask_is_there_where_it_is_asked_for(tokenizer, mask: int | None) -> None:
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == (END, 0)
    assert tokenizer.mask_token_id == mask


@given(text=st.lists(st.sampled_from(["a", " ", "é", "<end>", "<mask>", "<", "end>"])).map("".join))
def test_every_text_is_as_many_tokens_as_bytes(text: str) -> None:
    """Also one that holds the names of special tokens."""
    tokenizer = byte_tokenizer([MASK])
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == len(text.encode())
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.mask_token_id not in ids
    assert tokenizer.decode(ids) == text


def test_a_tokenizer_that_was_written_reads_texts_as_it_did(tmp_path: Path) -> None:
    tokenizer, text = byte_tokenizer([MASK]), "a<end>b<mask>"
    tokenizer.save_pretrained(tmp_path)
    found = AutoTokenizer.from_pretrained(tmp_path)
    assert found(text, add_special_tokens=False)["input_ids"] == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert (found.eos_token_id, found.mask_token_id) == (tokenizer.eos_token_id, tokenizer.mask_token_id)
