"""The verdict on a server: which hypothesis explains its answers, and how sure that is."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Considered:
    """A hypothesis, as weighed.

    Arguments:
        name: what the server would do.
        behind: nats per token by which its likelihood is below that of the best one.
        ruled_out: whether that is certain and worth something.
        off: median difference of its log-probabilities from the server's, nats.
    """

    name: str
    behind: float
    ruled_out: bool
    off: float


@dataclass(frozen=True)
class Verdict:
    """What a server does.

    Arguments:
        asked: what it was asked to do.
        considered: all hypotheses, the best first.
        fits: whether the best one explains the answers.
        noise: how far single tokens are from the best one, nats: rounding and other kernels, if it fits.
        unexplained: the share of the variance of the server's log-probabilities that the best one leaves.
        resembling: the share of what is left that resembles a difference of hypotheses; much of it means that the
            server does something that is not among them.
        tokens: how many log-probabilities were compared.
        lengths: of the texts, tokens.
        refused: hypotheses that the local model cannot imitate, with the reason.
        trained_length: L, tokens that the model was trained on.
        chosen: whether the server gives no log-probabilities, so that the tokens that it chose were compared.
    """

    asked: str
    considered: tuple[Considered, ...]
    fits: bool
    noise: float
    unexplained: float
    resembling: float
    tokens: int
    lengths: tuple[int, ...]
    refused: tuple[str, ...] = ()
    trained_length: int = 0
    chosen: bool = False

    @property
    def named(self) -> str | None:
        """What the server does; None where nothing fits, or several hypotheses explain the answers as well."""
        return self.considered[0].name if self.fits and len(self.alike) == 1 else None

    @property
    def alike(self) -> tuple[str, ...]:
        """The hypotheses that may be true, the best first; none where nothing fits."""
        return tuple(each.name for each in self.considered if not each.ruled_out) if self.fits else ()

    @property
    def as_asked(self) -> bool:
        """Whether the server may do what it was asked to do."""
        return self.asked in self.alike

    @property
    def ahead(self) -> float:
        """Nats per token by which the best hypotheses are ahead of the best one that was ruled out."""
        return next((each.behind for each in self.considered if each.ruled_out), 0.0)

    def sentences(self) -> list[str]:
        """Return the verdict, a sentence each."""
        if not self.fits:
            return [self._nothing_fits(), f"The nearest is: {self.considered[0].name}.", *self._limits()]
        found = [self._head()]
        first = self.asked if self.as_asked else self.alike[0]
        if first == self.alike[0]:
            found[0] += f" It is ahead of the next by {self.ahead:.3g} nats per token."
        if others := [name for name in self.alike if name != first]:
            found.append(f"These texts cannot tell it apart from: {'; '.join(others)}.")
        if not self.chosen:
            found.append(f"Single tokens are {self.noise:.2g} nats off, over {self.tokens} tokens.")
        return [*found, *self._limits()]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        derived = {"named": self.named, "alike": self.alike, "as_asked": self.as_asked, "ahead": self.ahead}
        return {**asdict(self), **derived, "verdict": self.sentences()}

    def _head(self) -> str:
        if self.as_asked and self.asked == self.alike[0]:
            return f"The server does what was asked: {self.asked}."
        if self.as_asked:
            return f"The server may do what was asked ({self.asked}). Its answers are nearer to: {self.alike[0]}."
        return f"The server does not do what was asked ({self.asked}). It does: {self.alike[0]}."

    def _limits(self) -> Iterator[str]:
        """What these answers cannot show."""
        if self.chosen:
            yield (
                f"The server gives no log-probabilities: this rests on {self.tokens} tokens that it wrote at "
                "temperature 0, which tell less."
            )
        if max(self.lengths, default=0) <= self.trained_length:
            yield (
                f"No text is longer than the trained length of {self.trained_length} tokens: what sets in beyond it is "
                "not seen."
            )

    def _nothing_fits(self) -> str:
        if self.chosen:
            return (
                "None of the hypotheses fits: the server writes tokens that are not the most likely ones of this "
                "model. It samples at temperature 0, runs another model, or does something else."
            )
        if self.resembling > self.unexplained:
            return "None of the hypotheses fits: the server does something between or beside them."
        return (
            "None of the hypotheses fits: the server's log-probabilities are not those of this model. Give the model "
            "that the server runs, with its tokenizer."
        )
