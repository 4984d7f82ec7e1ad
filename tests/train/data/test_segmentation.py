"""Sampled segmentations: the same text, other tokens; and with a large α the tokenizer's own."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from longspan.errors import InputError
from longspan.train.data.segmentation import SampledTokenizer, Sampling
from longspan.train.data.texts import prepared
from longspan.train.data.tokenizers import byte_tokenizer
from longspan.train.run import Run
from small_runs import settings

PIECES = [
    ("<unk>", -20.0),
    ("▁", -3.0),
    *((letter, -4.0 - i / 7) for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")),
]
PIECES += [("ab", -4.5), ("bc", -4.6), ("abc", -5.2), ("▁a", -3.9), ("def", -6.0), ("xyz", -6.1), ("de", -5.5)]


def unigram() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram(PIECES, unk_id=0))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<unk>")


TOKENIZER = unigram()
TEXTS = st.text("abcdexyzABC ", min_size=1, max_size=30).map(lambda text: " ".join(text.split()) or "a")


@given(text=TEXTS, seed=st.integers(0, 99), alpha=st.sampled_from([0.0, 0.5, 1.0]))
def test_every_sample_is_the_text(text: str, seed: int, alpha: float) -> None:
    ids = SampledTokenizer(TOKENIZER, alpha).sample(text, Random(seed))
    assert TOKENIZER.decode(ids) == TOKENIZER.decode(TOKENIZER(text)["input_ids"]) == text.lower()


@given(text=TEXTS)
def test_a_large_alpha_is_the_tokenizer_itself(text: str) -> None:
    assert SampledTokenizer(TOKENIZER, 1e4).sample(text, Random(0)) == TOKENIZER(text)["input_ids"]


def test_a_letter_without_a_piece_has_the_tokenizers_own_tokens() -> None:
    assert SampledTokenizer(TOKENIZER, 1.0).sample("é", Random(0)) == TOKENIZER("é")["input_ids"]


def test_other_tokenizers_are_refused() -> None:
    with pytest.raises(InputError, match="this tokenizer has BPE"):
        SampledTokenizer(byte_tokenizer(), 1.0)


def test_texts_are_kept_in_several_segmentations_and_sampled_again_alike(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdef xyzabc " * 20)
    made = [prepared([str(tmp_path / "a.txt")], TOKENIZER, tmp_path / name, Sampling(0.2, 3)) for name in "xy"]
    assert len(made[0].ends) == 3
    assert (made[0].tokens == made[1].tokens).all()
    own = prepared([str(tmp_path / "a.txt")], TOKENIZER, tmp_path / "own")
    cuts = [list(made[0].tokens[a:b]) for a, b in zip(made[0].starts, made[0].ends, strict=True)]
    assert cuts[0] != cuts[1]
    assert {str(TOKENIZER.decode(ids)) for ids in cuts} == {str(TOKENIZER.decode(list(own.tokens)))}


def test_a_run_says_how_many_bytes_a_token_has(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path / "tokenizer")
    wanted = settings(tmp_path, "rope", data_tokenizer=str(tmp_path / "tokenizer"), data_alpha=0.0)
    found = {}
    for name, each in {"sampled": wanted, "own": replace(wanted, data=replace(wanted.data, alpha=None))}.items():
        Run(each, tmp_path / name)
        found[name] = json.loads((tmp_path / name / "run.json").read_text())
    assert found["own"]["bytes_per_token"] > found["sampled"]["bytes_per_token"] > 0.9
    assert found["sampled"]["tokens"] > 3 * found["own"]["tokens"]
