"""How far channel pairs rotate: the turns of each pair within a length, and the angles that training has not shown.

    turns_i(n) = f_i n / 2π                       f_i: frequency of pair i, radians per token
    unseen_i(N) = share of the distances r < N with (f_i r mod 2π) > f_i L       where f_i L < 2π, else 0

A pair that completes a turn within the trained length L has shown every angle. One that does not has shown an arc from
0 to f_i L; beyond L its angles are new until the turn is complete.

Source: Peng et al. 2023, "YaRN", arXiv:2309.00071, section 3.2 (wavelengths against the trained length).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, tau


@dataclass(frozen=True)
class Turns:
    """Turns of one set of frequencies.

    Arguments:
        pairs: channel pairs that rotate.
        still: channel pairs whose frequency is zero.
        fastest, slowest: turns of the fastest and the slowest rotating pair within the trained length.
        incomplete: rotating pairs that complete no turn within the trained length.
        unseen_pairs: pairs that reach angles at the wanted length which they never reach within the trained length.
        unseen_share: share of all (rotating pair, distance) combinations at the wanted length with such an angle.
    """

    pairs: int
    still: int
    fastest: float
    slowest: float
    incomplete: int
    unseen_pairs: int
    unseen_share: float


def turns(trained: Sequence[float], wanted: Sequence[float], trained_length: int, length: int) -> Turns:
    """Count the turns.

    Arguments:
        trained: frequencies within the trained length, radians per token.
        wanted: frequencies at the wanted length; the same unless the model changes them with the length.
        trained_length, length: tokens.

    >>> turns([1.0, 0.001], [1.0, 0.001], 1000, 2000)
    Turns(pairs=2, still=0, fastest=159.15..., slowest=0.159..., incomplete=1, unseen_pairs=1, unseen_share=0.25)
    """
    moving = [(abs(a), abs(b)) for a, b in zip(trained, wanted, strict=True) if a]
    within = [a * trained_length / tau for a, _ in moving]
    shares = [unseen(a * trained_length, b * length) for a, b in moving]
    return Turns(
        pairs=len(moving),
        still=len(trained) - len(moving),
        fastest=max(within, default=0.0),
        slowest=min(within, default=0.0),
        incomplete=sum(count < 1 for count in within),
        unseen_pairs=sum(share > 0 for share in shares),
        unseen_share=sum(shares) / len(shares) if shares else 0.0,
    )


def unseen(arc: float, reach: float) -> float:
    """The share of angles 0 … reach that lie outside 0 … arc, on the circle.

    >>> unseen(1.0, 2.0)
    0.5
    """
    if arc >= tau or reach <= arc:
        return 0.0
    full = floor(reach / tau)
    return (full * (tau - arc) + max(0.0, reach - full * tau - arc)) / reach
