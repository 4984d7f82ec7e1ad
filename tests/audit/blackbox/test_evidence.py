"""The statistics, on numbers with known truth."""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from longspan.audit.blackbox.evidence import WORTH, Evidence, weigh

TOKENS = 600
REQUEST = np.repeat(np.arange(3), TOKENS // 3)


def hypotheses(seed: int = 0, apart: float = 0.5, count: int = 5) -> np.ndarray:
    numbers = np.random.default_rng(seed)
    shared = -np.abs(numbers.normal(3, 2, TOKENS))
    return shared + apart * numbers.normal(size=(count, TOKENS))


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1, 0.3])
@pytest.mark.parametrize("truth", range(5))
def test_the_truth_is_named(noise: float, truth: int) -> None:
    predicted = hypotheses()
    given = predicted[truth] + noise * np.random.default_rng(1).standard_t(3, TOKENS)
    found = weigh(given, predicted, REQUEST)
    assert found.alike == (truth,)
    assert found.fits


def test_what_differs_less_than_the_noise_is_not_ruled_out() -> None:
    predicted = hypotheses(apart=0.01)
    found = weigh(predicted[2] + 0.2 * np.random.default_rng(2).normal(size=TOKENS), predicted, REQUEST)
    assert set(found.alike) == set(range(5))
    assert found.fits


def test_the_truth_is_hardly_ever_ruled_out_from_the_best() -> None:
    wrong = 0
    for seed in range(200):
        numbers = np.random.default_rng(seed)
        predicted = hypotheses(seed, apart=0.05, count=10)
        found = weigh(predicted[0] + 0.3 * numbers.standard_t(3, TOKENS), predicted, REQUEST)
        wrong += 0 not in found.alike
    assert wrong <= 10


def test_something_in_between_fits_nothing() -> None:
    predicted = hypotheses()
    assert not weigh((predicted[0] + predicted[1]) / 2, predicted, REQUEST).fits


def test_other_numbers_fit_nothing() -> None:
    assert not weigh(hypotheses(9)[0], hypotheses(), REQUEST).fits


def test_dropped_tokens_speak_for_the_hypothesis_that_drops_them() -> None:
    predicted = np.repeat(hypotheses()[:1], 2, axis=0)
    predicted[1, :50] = np.nan
    given = predicted[1].copy()
    assert weigh(given, predicted, REQUEST).alike == (1,)
    assert weigh(predicted[0], predicted, REQUEST).alike == (0,)


def test_noise_is_that_of_the_best() -> None:
    predicted = hypotheses()
    found = weigh(predicted[3] + 0.1 * np.random.default_rng(3).normal(size=TOKENS), predicted, REQUEST)
    assert found.noise == pytest.approx(0.1, rel=0.15)
    assert found.fits
    assert found.resembling < 0.1


def chosen(unlikely: float, share: float, seed: int = 0) -> Evidence:
    """240 chosen tokens: the most likely ones under the first hypothesis, a share far from that under the second."""
    numbers = np.random.default_rng(seed)
    away = -unlikely * (numbers.random((2, 240)) < share)
    away[0] = 0.0
    return weigh(np.zeros(240), away, np.repeat(np.arange(6), 40), chosen=True)


def test_choices_rule_out_what_would_have_chosen_otherwise() -> None:
    found = chosen(2.0, 0.2)
    assert found.alike == (0,)
    assert found.fits
    assert found.unexplained == 0


def test_choices_that_agree_rule_nothing_out() -> None:
    assert chosen(2.0, 0.0).alike == (0, 1)


def test_choices_that_no_hypothesis_makes_fit_nothing() -> None:
    away = -3.0 * (np.random.default_rng(1).random((2, 240)) < 0.5)
    found = weigh(np.zeros(240), away, np.repeat(np.arange(6), 40), chosen=True)
    assert not found.fits
    assert found.unexplained > 0.3


def test_near_ties_do_not_count_as_mistakes() -> None:
    """Rounding decides between equally likely tokens: a few hundredths of a nat on some of them."""
    numbers = np.random.default_rng(2)
    away = -0.03 * (numbers.random((2, 240)) < 0.05)
    found = weigh(np.zeros(240), away, np.repeat(np.arange(6), 40), chosen=True)
    assert found.fits
    assert found.alike == (found.ranking[0].index, found.ranking[1].index)


def test_one_choice_that_is_no_tie_does_not_excuse_all_others() -> None:
    """96 tokens that a server wrote, one of them odd: what chooses otherwise every fourth time is ruled out still."""
    numbers = np.random.default_rng(5)
    away = -2.0 * (numbers.random((2, 96)) < 0.25)
    away[0] = 0.0
    away[0, 40] = -0.6
    found = weigh(np.zeros(96), away, np.repeat(np.arange(3), 32), chosen=True)
    assert found.alike == (0,)
    assert found.fits


@pytest.mark.parametrize("seed", range(20))
def test_a_few_near_ties_rule_nothing_out(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    away = -0.05 * numbers.random((2, 96)) * (numbers.random((2, 96)) < 0.03)
    assert len(weigh(np.zeros(96), away, np.repeat(np.arange(3), 32), chosen=True).alike) == 2


def test_tokens_that_were_not_read_each_count() -> None:
    """A cut to 16 tokens more or less differs in those tokens only."""
    values = -np.abs(np.random.default_rng(3).normal(3, 2, 160))
    places = np.arange(160)
    cuts = np.stack([np.where(places >= kept, np.nan, values) for kept in (64, 80, 48)])
    given = np.where(places >= 64, np.nan, values + 0.05 * np.random.default_rng(4).normal(size=160))
    assert weigh(given, cuts, np.zeros(160, dtype=np.int64)).alike == (0,)


def test_a_hypothesis_is_behind_by_the_log_likelihood_of_its_remainders() -> None:
    """Student's t of 3 degrees, by scipy; the scale is the median size of what the best one leaves, as for a normal."""
    numbers = np.random.default_rng(5)
    predicted = hypotheses()[:2]
    off = 0.1 * numbers.choice((-1.0, 1.0), TOKENS)
    predicted[1] = predicted[0] + 0.3
    found = weigh(predicted[0] + off, predicted, REQUEST)
    likelihood = partial(stats.t.logpdf, df=3, scale=0.1 * 1.4826)
    assert found.noise == pytest.approx(0.1 * 1.4826)
    assert [each.index for each in found.ranking] == [0, 1]
    assert found.ranking[1].behind == pytest.approx((likelihood(off) - likelihood(off - 0.3)).mean())
    spread = np.median(np.abs(predicted[0] + off - np.median(predicted[0] + off)))
    assert found.unexplained == pytest.approx((0.1 / spread) ** 2)


def test_tokens_that_no_hypothesis_drops_rule_nothing_out() -> None:
    """What every hypothesis gets wrong speaks for none of them."""
    predicted = np.repeat(hypotheses()[:1], 2, axis=0)
    given = predicted[0] + 0.1 * np.random.default_rng(6).normal(size=TOKENS)
    predicted[1, ::40] += 0.5
    given[1::20] = np.nan
    found = weigh(given, predicted, REQUEST)
    assert found.ranking[1].behind >= WORTH
    assert found.alike == (0, 1)


def test_the_first_guess_of_the_noise_is_from_the_smallest_mean() -> None:
    """By the likelihood at the smallest scale, a hypothesis that is right on half of the tokens and far off on the
    others would be the best one, and its small median would keep it so.
    """
    signs = np.random.default_rng(7).choice((-1.0, 1.0), TOKENS)
    base = hypotheses()[0]
    near, half_right = 0.1 * signs, np.where(np.arange(TOKENS) % 20 < 11, 0.002, 1.0) * signs
    found = weigh(base, np.stack([base - half_right, base - near]), REQUEST)
    assert found.ranking[0].index == 1
    assert found.noise == pytest.approx(0.1 * 1.4826)


@pytest.mark.parametrize("outlier", [0.3, 2.0, 10.0, 100.0])
@pytest.mark.parametrize("apart", [0.5, 2.0, 20.0])
def test_single_tokens_do_not_decide_what_is_resembled(outlier: float, apart: float) -> None:
    """The squared correlation, of remainders up to 5 σ with differences up to 20 σ."""
    numbers = np.random.default_rng(8)
    off, difference = 0.1 * numbers.choice((-1.0, 1.0), (2, TOKENS))
    off[::100], difference[::150] = outlier, apart
    base = hypotheses()[0]
    found = weigh(base + off, np.stack([base, base + difference]), REQUEST)
    sigma = 0.1 * 1.4826
    left, differs = off.clip(-5 * sigma, 5 * sigma), difference.clip(-20 * sigma, 20 * sigma)
    assert found.ranking[0].index == 0
    assert found.resembling == pytest.approx((left @ differs) ** 2 / ((left @ left) * (differs @ differs)))


@pytest.mark.parametrize(("unexplained", "resembling"), [(0.9, 0.0), (0.0, 0.9)])
def test_a_remainder_that_is_large_or_resembles_something_does_not_fit(unexplained: float, resembling: float) -> None:
    assert not Evidence((), 0.1, unexplained, resembling, 10).fits
    assert Evidence((), 0.1, 0.0, 0.0, 10).fits


def cut_to_the_first(seed: int, requests: int = 24, each: int = 10, unlike: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """A server that answers all requests from the same few tokens: it gives the same numbers, noise and all."""
    numbers = np.random.default_rng(seed)
    truth = np.tile(-np.abs(numbers.normal(3, 2, each)), requests)
    others = truth + np.tile(numbers.normal(size=(unlike, each)), requests)
    others += 0.3 * numbers.normal(size=others.shape)
    return truth + np.tile(0.1 * numbers.standard_t(3, each), requests), np.vstack([truth, others])


def test_an_answer_that_comes_again_resembles_nothing_by_its_repetition() -> None:
    fitting = 0
    for seed in range(100):
        given, predicted = cut_to_the_first(seed)
        found = weigh(given, predicted, np.repeat(np.arange(24), 10))
        assert found.alike == (0,)
        fitting += found.fits
    assert fitting >= 95
