"""Search over frequencies: one factor per channel pair and the gain, as seven numbers that CMA-ES moves.

The search starts at the best of the published rescalings, with every number of the curve free. Candidates are written
as LongRoPE with equal lists for short and for long texts, which stock runtimes read.

Source: Hansen & Ostermeier 2001, "Completely derandomized self-adaptation in evolution strategies", EC 9:159; the
implementation is the package `cma`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, nan, pi
from typing import Any

import numpy as np

from longspan.errors import InputError, RefusalError
from longspan.geometry import Geometry
from longspan.notation import format_scheme, parse
from longspan.pretrained.target import Target
from longspan.rotation.longrope import LongRoPE
from longspan.scheme import Scheme
from longspan.search.strategies.curve import Curve, Space
from longspan.search.strategies.strategy import ranked
from longspan.slots import RotaryEmbedding

FIRST_STEP = 0.15
"""Standard deviation of the first candidates around the start, as a share of each number's range."""

DIGITS = 9
"""Of a factor in the text of a candidate: below what float32 frequencies tell apart."""


@dataclass(frozen=True)
class Family:
    """The candidates of one model at one length.

    Arguments:
        geometry: of the model before any rescaling; L is its trained length.
        rotary_dim: channels that rotate or could.
        pairs: channel pairs that do rotate.
        length: tokens to read, N.
    """

    geometry: Geometry
    rotary_dim: int
    pairs: int
    length: int

    @classmethod
    def of(cls, target: Target, geometry: Geometry, length: int) -> "Family":
        """Return the candidates for the layers that see everything.

        Errors: RefusalError where no rotation can be named on the model.
        """
        if target.refusal is not None:
            raise RefusalError(f"a search over frequencies {target.refusal}")
        own, rotary_dim = target.origin.own, target.layout.rotary_dim
        pairs = rotary_dim // 2 if own is None else own.rotating(rotary_dim)
        if pairs < 2:
            raise RefusalError(f"a search over frequencies needs 2 channel pairs that rotate, this model has {pairs}")
        return cls(geometry.without_rescaling(), rotary_dim, pairs, length)

    @property
    def space(self) -> Space:
        """Where the numbers of a curve may lie."""
        return Space(self.pairs, self.length / self.geometry.trained_length)

    @property
    def published(self) -> dict[str, Curve]:
        """The rescalings of papers by their text, every number written out, and their curves."""
        stretch = self.space.stretch
        # As in the candidates of a study: untrained, NTK reads to about half of its factor, and at a small L no pair
        # rotates so often that YaRN's 32 would keep it.
        fast = max(2.0, round(self.geometry.trained_length / (2 * pi) / 4))
        texts = (
            f"linear(factor={stretch!r})",
            f"ntk(factor={stretch!r})",
            f"ntk(factor={2 * stretch!r})",
            f"yarn(factor={stretch!r})" if fast >= 32 else f"yarn(factor={stretch!r}, fast={fast!r})",
        )
        found = {}
        for text in texts:
            scheme = parse(text, self.geometry, self.length)
            assert isinstance(scheme.rotation, RotaryEmbedding)
            found[format_scheme(scheme)] = Curve.of(scheme.rotation, self.rotary_dim)
        return found

    def text(self, curve: Curve) -> str:
        """Return a curve as the text of a scheme."""
        found = curve.factors(self.pairs)
        found += found[-1:] * (self.rotary_dim // 2 - self.pairs)  # of pairs that do not rotate: it changes nothing
        factors = tuple(_rounded(value) for value in found)
        rotation = LongRoPE(
            short=factors,
            long=factors,
            trained_length=self.geometry.trained_length,
            factor=self.space.stretch,
            attention_factor=_rounded(curve.gain),
            theta=self.geometry.theta,
        )
        return format_scheme(Scheme(rotation=rotation))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


class FactorSearch:
    """CMA-ES over the curves of a family (`longspan.search.strategies.strategy.Strategy`).

    Arguments:
        family: of the model.
        seed: of the candidates.

    Errors: InputError where the package `cma` is missing.
    """

    def __init__(self, family: Family, seed: int) -> None:
        try:
            import cma
        except ImportError:
            raise InputError(
                "a search over frequencies needs the package cma: pip install 'longspan[search]'"
            ) from None
        self.family, self._published, self._seed = family, family.published, seed
        self._make = cma.CMAEvolutionStrategy
        self._state: Any = None
        self._asked: list[np.ndarray] = []

    @property
    def starts(self) -> tuple[str, ...]:
        """The published rescalings."""
        return tuple(self._published)

    @property
    def batch(self) -> int:
        """A generation, as many as CMA-ES has by default."""
        return 4 + int(3 * log(self.family.space.size))

    def begin(self, costs: Sequence[float]) -> None:
        """Place the first candidates around the best start."""
        best = min(zip(costs, self._published.values(), strict=True), key=lambda pair: pair[0])[1]
        draw = np.random.default_rng(self._seed).standard_normal
        options = {
            "bounds": [0.0, 1.0],
            "popsize": self.batch,
            "randn": lambda *shape: draw(shape),
            "seed": nan,  # leave numpy's global generator alone
            "verbose": -9,  # no output and no files
            "signals_filename": "",  # a file in the working directory must not steer the search
        }
        self._state = self._make(self.family.space.point(best), FIRST_STEP, options)

    def ask(self) -> tuple[str, ...]:
        """Return a generation; none where CMA-ES has converged."""
        if self._state.stop():
            return ()
        self._asked = self._state.ask()
        return tuple(self.family.text(self.family.space.curve(point)) for point in self._asked)

    def tell(self, costs: Sequence[float]) -> None:
        """Move the distribution."""
        self._state.tell(self._asked, ranked(costs))
