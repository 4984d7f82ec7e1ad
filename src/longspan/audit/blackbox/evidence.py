"""Which hypothesis explains a server's answers: the likelihood of its log-probabilities under each one.

    s_t = ℓ_t(h) + σ ε_t        s: the server's log-probabilities, ℓ(h): predicted under h, ε: Student's t, 3 degrees

Heavy tails let rounded weights, other kernels and bfloat16 be off on single tokens. σ is estimated from the best
hypothesis, so that a server's noise makes hypotheses harder to tell apart. Neighboring tokens share their noise, so
that `BLOCK` of them count as one observation, and one observation counts `MOST` nats at most: a hypothesis is ruled
out where the sum over all blocks of its log-likelihood ratio to the best one exceeds log(hypotheses / (1 − level)),
Ville's bound for an e-process, which holds for all hypotheses together. A token that the server has a number for and
that the model never reads under a hypothesis, or the other way round, is no noise: each of them is an observation.

A difference must also be worth something: `WORTH` nats per token. Below it, the server's own rounding may lean towards
the wrong one of two hypotheses that predict nearly the same.

Whether the best hypothesis fits at all is asked in two ways. What is left, s − ℓ(h), must be small against what the
tokens themselves differ by; and it must not resemble any difference of two hypotheses: a server that does a quarter
of one thing and three quarters of another leaves such a remainder.

Where only the server's choices are known, s is 0 and ℓ(h) is how far a chosen token is below the most likely one: 0 for
almost every token under the right hypothesis. σ is then estimated from the others, near ties that rounding decided;
and a hypothesis fits where hardly any chosen token is `CLEARLY` below the most likely one.

Source: Lange, Little & Taylor 1989, "Robust statistical modeling using the t distribution", JASA 84; Ville 1939;
Grünwald & van Ommen 2017, "Inconsistency of Bayesian inference for misspecified linear models, and a proposal for
repairing it", Bayesian Analysis 12 (likelihoods that are flattened where the model of the noise is only roughly right).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy import stats

from longspan.measure.statistics.interval import LEVEL

FREEDOM = 3.0
BLOCK = 16
"""Tokens that count as one observation."""
MOST = 2.0
"""Nats that one observation may count, so that several must agree."""
WORTH = 0.02
"""Nats per token by which a hypothesis must be behind the best one to be ruled out."""
FLOOR = 1e-3
"""The smallest σ, nats: what float32 and another order of summation differ by."""
MISSING = 10.0
"""Nats that a token counts as off where only one of server and hypothesis has a number for it."""
MOST_UNEXPLAINED = 0.2
"""The share of the variance of log-probabilities that a hypothesis may leave where it fits."""
MOST_RESEMBLING = 0.25
"""The share of what is left that may be explained by differences of hypotheses where one fits."""


CLEARLY = 0.5
"""Nats by which a token is clearly not the most likely one."""
MOST_UNLIKELY = 0.05
"""The share of chosen tokens that may clearly not be the most likely ones where a hypothesis fits."""


@dataclass(frozen=True)
class Ranked:
    """A hypothesis among others.

    Arguments:
        index: of the hypothesis.
        behind: nats per token by which its likelihood is below that of the best one.
        ruled_out: whether that is certain, and enough to be worth something.
        off: median of |s − ℓ(h)|, nats.
    """

    index: int
    behind: float
    ruled_out: bool
    off: float


@dataclass(frozen=True)
class Evidence:
    """What the answers say about the hypotheses.

    Arguments:
        ranking: all hypotheses, the best first.
        noise: σ, nats: how far single tokens are from the best hypothesis.
        unexplained: the share of the variance of the server's log-probabilities that the best one leaves; of chosen
            tokens the share that clearly are not its most likely ones.
        resembling: the share of what is left that one difference between the best and another hypothesis explains.
        tokens: how many log-probabilities, or chosen tokens, were compared.
        chosen: whether only the server's choices are known.
        by_chance: the share that the luckiest of these differences explains of independent noise; rarely more.
    """

    ranking: tuple[Ranked, ...]
    noise: float
    unexplained: float
    resembling: float
    tokens: int
    chosen: bool = False
    by_chance: float = 0.0

    @property
    def fits(self) -> bool:
        """Whether the best hypothesis explains the answers."""
        if self.chosen:
            return self.unexplained <= MOST_UNLIKELY
        return self.unexplained <= MOST_UNEXPLAINED and self.resembling <= max(MOST_RESEMBLING, self.by_chance)

    @property
    def alike(self) -> tuple[int, ...]:
        """The best hypothesis and those that these answers cannot tell apart from it."""
        return tuple(each.index for each in self.ranking if not each.ruled_out)


def weigh(
    given: Float64[np.ndarray, " tokens"],
    predicted: Float64[np.ndarray, "hypotheses tokens"],
    request: Int64[np.ndarray, " tokens"],
    chosen: bool = False,
) -> Evidence:
    """Compare a server's log-probabilities with those predicted under each hypothesis.

    Arguments:
        given: the server's, nats; NaN where it gave none.
        predicted: those of each hypothesis, nats; NaN where the model would not read the token.
        request: number of the request that each token belongs to; blocks do not cross requests.
        chosen: whether only the server's choices are known: `given` is 0, and `predicted` relative to the most likely
            token.
    """
    off = _differences(given, predicted)
    sizes = np.abs(off)
    noise = FLOOR
    # Most chosen tokens are the most likely ones, and say nothing of the noise: one that is not must not decide alone.
    few = np.full(2 if chosen else 0, FLOOR)
    for _ in range(3):  # the scale depends on which is best, and that hardly on the scale
        best = int(_log_likelihood(off, noise).mean(1).argmax()) if noise > FLOOR else int(sizes.mean(1).argmin())
        noise = max(FLOOR, 1.4826 * _median(np.concatenate([few, sizes[best][sizes[best] > 0]])))
    likelihood = _log_likelihood(off, noise)
    best = int(likelihood.mean(1).argmax())
    ahead = likelihood[best] - likelihood
    sure = np.log(len(off)) - np.log(1 - LEVEL)
    absent = np.isnan(given)[None] != np.isnan(predicted)
    blocks = _blocks(np.where(absent | absent[best], 0.0, ahead), request).clip(-MOST, MOST).sum(0)
    unread = MOST * (absent.sum(1) - absent[best].sum())  # not noise, which neighbors share: each token counts
    apart = (blocks + unread >= sure) & (ahead.mean(1) >= WORTH)
    ranking = sorted(range(len(off)), key=lambda index: (ahead[index].mean(), index))
    resembling, by_chance = _resembling(off, best, noise, predicted[best])
    return Evidence(
        tuple(Ranked(i, float(ahead[i].mean()), bool(apart[i]), float(np.median(sizes[i]))) for i in ranking),
        noise,
        float((sizes[best] > CLEARLY).mean()) if chosen else _unexplained(given, off[best]),
        resembling,
        off.shape[1],
        chosen,
        by_chance,
    )


def _differences(
    given: Float64[np.ndarray, " tokens"], predicted: Float64[np.ndarray, "hypotheses tokens"]
) -> Float64[np.ndarray, "hypotheses tokens"]:
    """Server minus hypothesis; 0 where both have no number, `MISSING` where one has none."""
    absent = np.isnan(given)[None] != np.isnan(predicted)
    return np.where(absent, MISSING, np.nan_to_num(given[None] - predicted, nan=0.0))


def _median(values: Float64[np.ndarray, " values"]) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _log_likelihood(off: Float64[np.ndarray, "..."], noise: float) -> Float64[np.ndarray, "..."]:
    return -(FREEDOM + 1) / 2 * np.log1p((off / noise) ** 2 / FREEDOM)


def _blocks(
    values: Float64[np.ndarray, "hypotheses tokens"], request: Int64[np.ndarray, " tokens"]
) -> Float64[np.ndarray, "blocks hypotheses"]:
    """Means over blocks of neighboring tokens of one request; a last short block joins the one before it."""
    starts: list[int] = []
    for number in np.unique(request):
        first, count = int(np.argmax(request == number)), int((request == number).sum())
        starts += range(first, first + max(1, count - BLOCK + 1), BLOCK)
    sizes = np.diff([*starts, values.shape[1]])
    return (np.add.reduceat(values, starts, axis=1) / sizes).T


def _unexplained(given: Float64[np.ndarray, " tokens"], off: Float64[np.ndarray, " tokens"]) -> float:
    """The share of variance that is left; medians, so that single tokens do not decide."""
    known = given[~np.isnan(given)]
    spread = float(np.median(np.abs(known - np.median(known)))) if len(known) else 0.0
    return min(1.0, (float(np.median(np.abs(off))) / spread) ** 2) if spread else 1.0


def _resembling(
    off: Float64[np.ndarray, "hypotheses tokens"],
    best: int,
    noise: float,
    predicted: Float64[np.ndarray, " tokens"],
) -> tuple[float, float]:
    """The largest squared correlation of what is left with a difference of two hypotheses, and what chance reaches.

    Arguments:
        predicted: by the best one. Where it says that the server read the same tokens again (all long texts cut to the
            same ones), noise comes back too: equal predictions count once.
    """
    if noise <= FLOOR:
        return 0.0, 0.0
    limit = 5 * noise
    left = _once(np.clip(off[best], -limit, limit), predicted)
    found = 0.0
    for index in range(len(off)):
        # Predicted minus predicted: the server is not in it.
        difference = _once(np.clip(off[best] - off[index], -4 * limit, 4 * limit), predicted)
        scale = float((difference**2).sum() * (left**2).sum())
        if scale and float((difference**2).mean()) > noise**2 / 25:
            found = max(found, float((difference * left).sum()) ** 2 / scale)
    # The squared correlation of a direction with independent noise, and the best of as many as there are hypotheses.
    chance = stats.beta.isf((1 - LEVEL) / len(off), 0.5, (len(left) - 1) / 2) if len(left) > 1 else 1.0
    return found, float(chance)


def _once(
    values: Float64[np.ndarray, " tokens"], predicted: Float64[np.ndarray, " tokens"]
) -> Float64[np.ndarray, " n"]:
    """The mean of the values of each prediction."""
    _, group = np.unique(predicted, return_inverse=True, equal_nan=False)
    return np.bincount(group, values) / np.bincount(group)
