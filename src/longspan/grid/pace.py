"""Pace: how long forward passes take, from two that were timed."""

from dataclasses import dataclass

from longspan.measure.record import Asked


@dataclass(frozen=True)
class Pace:
    """Reading n tokens takes per_token · n + per_pair · n² seconds: matrix products, and attention.

    >>> Pace.of((1000, 3.0), (2000, 8.0))
    Pace(per_token=0.002, per_pair=1e-06)
    """

    per_token: float
    per_pair: float = 0.0

    @classmethod
    def of(cls, short: tuple[int, float], long: tuple[int, float]) -> "Pace":
        """Fit tokens and seconds of a short and of a long reading; noise makes neither share negative."""
        (tokens, seconds), (more, longer) = short, long
        per_pair = (longer / more - seconds / tokens) / (more - tokens)
        per_pair = min(max(per_pair, 0.0), longer / more**2)
        return cls(longer / more - per_pair * more, per_pair)

    def shared(self, count: int) -> "Pace":
        """Return the pace of so many workers together."""
        return Pace(self.per_token / count, self.per_pair / count)

    def seconds(self, asked: Asked) -> float:
        """Return what a measurement will take."""
        return sum(self.per_token * n + self.per_pair * n**2 for n in asked.readings())
