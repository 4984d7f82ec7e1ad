"""Tokenizers of training: bytes, the symbols of a task, or whatever a folder or a Hugging Face id holds."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from longspan.measure.models import loading

BYTES = "bytes"
SYMBOLS = "symbols"
END, MASK, UNKNOWN = "<end>", "<mask>", "<unknown>"
PIECES = r"\n| ?\d| ?[^\s\d]+| "
"""How a text falls into symbols: words and single digits, each with the space before it."""


def load_tokenizer(name: str, special: Sequence[str] = ()) -> Any:
    """Load a tokenizer; "bytes" is one token per byte.

    Arguments:
        special: tokens that bytes need beside the one that ends a text.

    Errors: RefusalError where there is none of that name.
    """
    return byte_tokenizer(special) if name == BYTES else loading.load_tokenizer(name)


def byte_tokenizer(special: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per byte, one that ends a text, and others, of which `MASK` hides a token.

    A text that contains the names of those tokens is bytes like any other.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate([END, *alphabet, *special])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = {"mask_token": MASK} if MASK in special else {}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, split_special_tokens=True, **names)


def number_tokenizer(count: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of the numbers 0 … count − 1, each of which is its own token id, for tasks in token ids.

    >>> number_tokenizer(99)(" 0 42")["input_ids"]
    [0, 42]
    """
    vocabulary = {f" {number}": number for number in range(count)} | {END: count, UNKNOWN: count + 1}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" \d+"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, unk_token=UNKNOWN)


def symbol_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token for each word and each digit of some texts; what it decodes is the text.

    >>> tokenizer = symbol_tokenizer(["sort: b a 12 21"])
    >>> tokenizer.decode(tokenizer("sort: a 21 b")["input_ids"])
    'sort: a 21 b'
    """
    pieces = sorted({piece for text in texts for piece in re.findall(PIECES, text)})
    vocabulary = {piece: i for i, piece in enumerate([END, MASK, UNKNOWN, *pieces])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    names = {"eos_token": END, "mask_token": MASK, "unk_token": UNKNOWN}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
