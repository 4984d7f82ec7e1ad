"""Texts as token ids that are sampled: subword regularization for tokenizers of unigram pieces.

Each word of a text, as the tokenizer cuts it, is segmented with the probability that the unigram model gives to the
segmentation (`lattice.py`). A training text is kept several times, each time with other segmentations, so that
everything else about a run stays what it is: rows are functions of the seed and the step.

Source: Kudo 2018, arXiv:1804.10959; Su 2023, kexue.fm/archives/9811.
Differs from the paper: a text has `copies` segmentations, not a new one in every epoch.
"""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from longspan.errors import InputError
from longspan.train.data.lattice import Lattice

UNIGRAM = "Unigram"


@dataclass(frozen=True)
class Sampling:
    """How texts are segmented.

    Arguments:
        alpha: α, how much scores matter: 1 samples from the model itself, 0 all segmentations equally often.
        copies: segmentations of each text.
    """

    alpha: float
    copies: int


class SampledTokenizer:
    """A tokenizer whose segmentations are sampled.

    Arguments:
        tokenizer: a fast tokenizer of transformers with unigram pieces.
        alpha: as in `Sampling`.

    Errors: InputError for a tokenizer of another kind.
    """

    def __init__(self, tokenizer: Any, alpha: float) -> None:
        self.tokenizer, self.alpha = tokenizer, alpha
        self.backend = tokenizer.backend_tokenizer
        model = json.loads(self.backend.to_str())["model"]
        if model.get("type") != UNIGRAM:
            raise InputError(
                f"data.alpha samples segmentations of unigram pieces, and this tokenizer has {model.get('type')}: "
                "leave it out, or give a unigram tokenizer"
            )
        special = set(tokenizer.all_special_tokens)
        self.lattice = Lattice({piece: score for piece, score in model["vocab"] if piece and piece not in special})
        self.ids = {piece: number for number, (piece, _) in enumerate(model["vocab"])}

    def sample(self, text: str, generator: Random) -> list[int]:
        """Return token ids of a text; a word that pieces cannot make has the tokenizer's own."""
        normalizer, words = self.backend.normalizer, self.backend.pre_tokenizer
        text = text if normalizer is None else normalizer.normalize_str(text)
        found = list[int]()
        for word in [text] if words is None else [word for word, _ in words.pre_tokenize_str(text)]:
            try:
                found += [self.ids[piece] for piece in self.lattice.sample(word, generator, self.alpha)]
            except InputError:
                found += [token.id for token in self.backend.model.tokenize(word)]
        return found
