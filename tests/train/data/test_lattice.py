"""Segmentations: the frequencies are those of the model, by enumeration of all, and the older sampler's are not."""

from collections import Counter
from collections.abc import Iterator
from math import exp, inf
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp
from tokenizers import Tokenizer, models

from longspan.errors import InputError
from longspan.train.data.lattice import Lattice

PIECES = {"w": -3.0, "a": -2.5, "t": -2.0, "c": -2.2, "wa": -3.5, "at": -3.0, "tc": -2.8, "wat": -4.0, "atc": -4.5}
LATTICE = Lattice(PIECES)
SCORES = st.dictionaries(st.text("ab", min_size=1, max_size=4), st.floats(-6, -0.1), min_size=1, max_size=9).map(
    lambda drawn: {"a": -2.0, "b": -1.5, **drawn}
)


def ways(text: str, scores: dict[str, float]) -> Iterator[tuple[str, ...]]:
    """Every segmentation, by recursion."""
    if not text:
        yield ()
    for end in range(1, len(text) + 1):
        if text[:end] in scores:
            for rest in ways(text[end:], scores):
                yield (text[:end], *rest)


def score(way: tuple[str, ...], scores: dict[str, float]) -> float:
    return sum(scores[piece] for piece in way)


@given(scores=SCORES, text=st.text("ab", min_size=1, max_size=9))
def test_the_best_and_the_total_are_those_of_all_segmentations(scores: dict, text: str) -> None:
    everything = list(ways(text, scores))
    found = tuple(Lattice(scores).best(text))
    assert score(found, scores) == pytest.approx(max(score(way, scores) for way in everything))
    for alpha in (0.0, 0.5, 1.0):
        wanted = logsumexp([alpha * score(way, scores) for way in everything])
        assert Lattice(scores).log_total(text, alpha) == pytest.approx(float(wanted), abs=1e-9)


@given(scores=SCORES, text=st.text("ab", min_size=1, max_size=12))
def test_the_best_is_that_of_the_unigram_model_of_tokenizers(scores: dict, text: str) -> None:
    model = Tokenizer(models.Unigram([("<unk>", -99.0), *scores.items()], unk_id=0))
    theirs = tuple(model.encode(text).tokens)
    assert score(tuple(Lattice(scores).best(text)), scores) == pytest.approx(score(theirs, scores), abs=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0])
def test_samples_are_as_frequent_as_the_model_says(alpha: float) -> None:
    everything = list(ways("watcwat", PIECES))
    generator, count = Random(3), 6000
    found = Counter(tuple(LATTICE.sample("watcwat", generator, alpha)) for _ in range(count))
    weights = np.array([exp(alpha * score(way, PIECES)) for way in everything])
    expected = weights / weights.sum() * count
    assert set(found) <= set(everything)
    seen = np.array([found[way] for way in everything])
    often = expected >= 5  # rarer ones are taken together, as chi-square needs
    pairs = [(seen[often], expected[often])]
    if (~often).any():
        pairs = [(np.append(seen[often], seen[~often].sum()), np.append(expected[often], expected[~often].sum()))]
    ((observed, wanted),) = pairs
    assert stats.chisquare(observed, wanted).pvalue > 0.001


def test_the_older_sampler_takes_the_last_of_three_equal_ways_half_of_the_time() -> None:
    """kexue.fm/archives/9811: ¼, ¼, ½ in the place of ⅓ each; the exact one has ⅓ each."""
    equal = Lattice({"ab": -1.0, "c": -1.0, "a": -1.0, "bc": -1.0, "abc": -2.0})
    found = {}
    for name in ("sample", "sample_viterbi"):
        generator = Random(0)
        counts = Counter(tuple(getattr(equal, name)("abc", generator)) for _ in range(8000))
        found[name] = sorted(count / 8000 for count in counts.values())
    assert found["sample"] == pytest.approx([1 / 3] * 3, abs=0.02)
    assert found["sample_viterbi"] == pytest.approx([1 / 4, 1 / 4, 1 / 2], abs=0.02)


def test_a_large_alpha_is_the_best_and_the_text_comes_back() -> None:
    generator = Random(0)
    for _ in range(50):
        assert LATTICE.sample("watcwatca", generator, 500.0) == LATTICE.best("watcwatca")
        assert "".join(LATTICE.sample("watcwatca", generator)) == "watcwatca"


def test_a_text_that_pieces_cannot_make_is_refused() -> None:
    for segment in (LATTICE.best, lambda text: LATTICE.sample(text, Random(0))):
        with pytest.raises(InputError, match="no pieces make the text"):
            segment("wax")
    assert LATTICE.log_total("wax") == -inf
    assert LATTICE.best("") == []
    with pytest.raises(InputError, match="alpha must be at least 0"):
        LATTICE.sample("wat", Random(0), -1.0)
