"""Doubts: what speaks against trusting a study at all, whatever its numbers say."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import log


@dataclass(frozen=True)
class Doubts:
    """What a reader has to know before everything else.

    Arguments:
        obstacle: why there is no full verdict, as the end of a sentence; None where there may be one.
        warnings: whole sentences.
    """

    obstacle: str | None = None
    warnings: tuple[str, ...] = ()


def doubts(loss: float, what: str, vocabulary: int, documents: int, files: int) -> Doubts:
    """Look at the texts and at how well the plain model predicts them.

    Arguments:
        loss: of the plain model within its trained length, nats per token.
        what: whose loss that is.
        vocabulary: tokens of the model: who gives all of them the same probability has a loss of ln(vocabulary).
        documents: how many were judged on.
        files: how many files they come from.
    """
    obstacles, warnings = [], []
    if loss > log(vocabulary):
        found = f"{what} predicts these texts worse than equal chances for all {vocabulary} tokens would"
        obstacles.append(found)
        warnings.append(
            f"{found[0].upper()}{found[1:]} (loss {loss:.2f}, ln {vocabulary} = {log(vocabulary):.2f} nats per token): "
            "texts, tokenizer and model may not belong together."
        )
    if files == 1 < documents:
        obstacles.append(f"all {documents} documents are parts of one file")
        warnings.append(
            f"All {documents} documents are parts of one file: intervals say nothing about other texts; give more "
            "--text."
        )
    elif files < documents:
        warnings.append(
            f"The {documents} judged documents are parts of {files} files, which resemble each other: intervals may be "
            "too narrow."
        )
    return Doubts(" and ".join(obstacles) or None, tuple(warnings))


def several_devices(devices: AbstractSet[str | None]) -> tuple[str, ...]:
    """Return the warning of a study that went on on another device; none where there is one device.

    Arguments:
        devices: where rows were timed; None for one that was not recorded.

    >>> several_devices({"cuda:0", "cpu"})
    ('Times are of different devices (cpu and cuda:0): speeds are not compared.',)
    """
    if len(devices) <= 1:
        return ()
    names = sorted("one that was not recorded" if device is None else device for device in devices)
    return (f"Times are of different devices ({', '.join(names[:-1])} and {names[-1]}): speeds are not compared.",)
