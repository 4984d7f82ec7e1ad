"""Every reduction gives the closed form for a model whose loss is a known function of the visible context."""

from math import exp, log
from typing import Any

import numpy as np
import pytest
import torch

from longspan.errors import InputError
from longspan.measure.reading.reader import Reader
from longspan.measure.reduction import Reduction, Text, reduced, reductions
from longspan.measure.reductions.accuracy import Accuracy
from longspan.measure.reductions.bits_per_byte import BitsPerByte
from longspan.measure.reductions.by_position import ByPosition
from longspan.measure.reductions.far_gain import FarGain
from longspan.measure.reductions.last_k import LastK
from longspan.measure.reductions.non_overlapping import NonOverlapping
from longspan.measure.reductions.repetition import Repetition
from longspan.measure.reductions.sliding import Sliding
from standin import StandIn

PERIOD = 7
KEY = 3
"""The token whose loss falls when more than `FAR` tokens are visible."""
FAR = 40


def nats(following: Any, visible: Any) -> Any:
    """The loss that is known: it falls with the visible tokens, and for one token falls far at a distance."""
    usual = 0.3 + 2.5 / (1 + visible)
    key = 0.1 + 4.0 * (visible <= FAR)
    return usual + (following == KEY) * (key - usual)


def wanted(tokens: range, visible: Any) -> np.ndarray:
    """The loss of tokens of the text, each with so many visible tokens."""
    seen = np.array([visible(t) for t in tokens], dtype=np.float64)
    return nats(np.array(tokens) % PERIOD, seen)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(StandIn(PERIOD, nats))


def text(length: int = 512, trained_length: int = 64) -> Text:
    return Text(tuple(t % PERIOD for t in range(length)), trained_length, lambda ids: "é" * len(ids))


def value(reader: Reader, reduction: Reduction, length: int, of: Text | None = None) -> dict[str, Any]:
    return reduced(reader, of or text(), length, {"it": reduction})["it"]


@pytest.mark.parametrize("length", [64, 100, 512])
def test_last_k(reader: Reader, length: int) -> None:
    """16 tokens, in pieces of at most an eighth of the context."""
    piece = min(16, length // 8)
    first = 512 - 16

    def visible(token: int) -> int:
        end = min(first + ((token - first) // piece + 1) * piece, 512)
        return token - max(0, end - length)

    found = value(reader, LastK(16), length)
    assert found == {"value": pytest.approx(wanted(range(first, 512), visible).mean(), abs=1e-6), "tokens": 16}


def test_by_position(reader: Reader) -> None:
    found = value(reader, ByPosition(), 300)
    losses = wanted(range(1, 300), lambda token: token)
    assert [(part["start"], part["stop"]) for part in found["bins"]] == [
        *((1 << n, 2 << n) for n in range(8)),
        (256, 300),
    ]
    for part in found["bins"]:
        assert part["loss"] == pytest.approx(losses[part["start"] - 1 : part["stop"] - 1].mean(), abs=1e-6)
    assert found["value"] == pytest.approx(losses[63:].mean(), abs=1e-6)
    assert value(reader, ByPosition(), 64)["value"] == pytest.approx(losses[:63].mean(), abs=1e-6)


@pytest.mark.parametrize("stride", [1, 5, 63])
def test_sliding(reader: Reader, stride: int) -> None:
    """Every token is scored once, with what its window holds before it."""

    def visible(token: int) -> int:
        if token < 64:
            return token
        stop = min(64 + ((token - 64) // stride + 1) * stride, 200)
        return token - (stop - 64)

    found = value(reader, Sliding(stride), 64, text(200))
    assert found["value"] == pytest.approx(wanted(range(1, 200), visible).mean(), abs=1e-6)
    assert found["tokens"] == 199


def test_non_overlapping(reader: Reader) -> None:
    """And the early token curse: longer blocks look better, here because far tokens help, elsewhere without that."""
    tokens = [token for token in range(1, 192) if token % 64]
    losses = nats(np.array(tokens) % PERIOD, np.array([float(token % 64) for token in tokens]))
    found = value(reader, NonOverlapping(), 64, text(200))
    assert found == {"value": pytest.approx(losses.mean(), abs=1e-6), "tokens": 189, "blocks": 3}


def test_bits_per_byte(reader: Reader) -> None:
    """Each token is a letter of two bytes."""
    found = value(reader, BitsPerByte(), 100)
    bits = wanted(range(1, 100), lambda token: token).sum() / log(2)
    assert found == {"value": pytest.approx(bits / 198, abs=1e-6), "bytes": 198, "tokens": 99}


def test_far_gain(reader: Reader) -> None:
    """Key tokens are those that need more than the near context, and only where the whole text holds more."""
    found = value(reader, FarGain(near=32, block=8), 200)
    tokens = range(33, 200)
    whole = wanted(tokens, lambda token: token)
    near = wanted(tokens, lambda token: 32 + (token - 33) % 8)
    assert found["value"] == pytest.approx((near - whole).mean(), abs=1e-6)
    key = sum(token % PERIOD == KEY and token > FAR and 32 + (token - 33) % 8 <= FAR for token in tokens)
    assert key > 0
    assert found["key_share"] == pytest.approx(key / len(tokens))
    assert found["key_loss"] == pytest.approx(0.1, abs=1e-6)
    assert value(reader, FarGain(near=48, block=8), 200)["key_loss"] is None


def test_accuracy(reader: Reader) -> None:
    """A token is predicted where its probability exceeds one half, that is where its loss is below ln 2."""
    found = value(reader, Accuracy(k=16), 200)
    right = wanted(range(1, 200), lambda token: token) < log(2)
    assert 0 < right.mean() < 1
    assert found == {
        "value": pytest.approx(right.mean()),
        "last": pytest.approx(right[-16:].mean()),
        "k": 16,
        "tokens": 199,
    }


def test_repetition(reader: Reader) -> None:
    """The period of the text is that of the repetition: repeated or not, this model does the same."""
    found = value(reader, Repetition(period=2 * PERIOD, k=16), 200)
    right = wanted(range(1, 200), lambda token: token) < log(2)
    assert found["short"] == {"all": pytest.approx(right[:63].mean()), "last": pytest.approx(right[47:63].mean())}
    assert found["repeated"] == found["not_repeated"]
    assert found["value"] == found["not_repeated"]["all"] == pytest.approx(right.mean())


def test_a_text_that_repeats_is_what_is_read(reader: Reader) -> None:
    _, repeated, whole = Repetition(period=5).pieces(text(), 12)
    assert repeated.ids == (0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1)
    assert whole.ids == text().ids[:12]


def test_reductions_of_one_text_share_what_they_read() -> None:
    model = StandIn(PERIOD, nats)
    reader = Reader(model)
    model.read = 0
    shared = {"by_position": ByPosition(), "bits_per_byte": BitsPerByte(), "accuracy": Accuracy(), "last_k": LastK()}
    together = reduced(reader, text(), 512, shared)
    assert model.read == 512
    assert together == {name: reduced(reader, text(), 512, {name: each})[name] for name, each in shared.items()}
    assert model.read == 512 * 5


@pytest.mark.parametrize("name", sorted(reductions()))
def test_an_opening_takes_the_place_of_the_first_token(reader: Reader, name: str) -> None:
    """As `Feed` has it: nothing gets longer by it, and the opening is not scored."""
    made = reductions()[name]()
    with_opening = Text(text().ids, 64, text().decode, (6,))
    for plain, opened in zip(made.pieces(text(), 512), made.pieces(with_opening, 512), strict=True):
        assert opened.ids == (6, *plain.ids[1:])
        assert opened.scored == plain.scored


@pytest.mark.parametrize("name", sorted(reductions()))
def test_bad_input_is_named(name: str) -> None:
    made = reductions()[name]()
    with pytest.raises(InputError, match=f"{name} needs a text, got an empty one"):
        made.pieces(text(0), 64)
    with pytest.raises(InputError, match=f"{name} needs at least [0-9]+ tokens, got a length of 1"):
        made.pieces(text(), 1)
    with pytest.raises(InputError, match=f"{name} at 513 tokens needs a text as long, got one of 512 tokens"):
        made.pieces(text(), 513)


@pytest.mark.parametrize("name", sorted(reductions()))
def test_a_loss_that_is_not_a_number_is_never_averaged_away(name: str) -> None:
    def broken(following: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        return torch.where(visible == 40, torch.nan, nats(following, visible))

    made = LastK(500) if name == "last_k" else reductions()[name]()
    reader = Reader(StandIn(PERIOD, broken))
    assert np.isnan(reduced(reader, text(), 64, {name: made})[name]["value"])


def test_a_window_must_not_skip_tokens(reader: Reader) -> None:
    with pytest.raises(InputError, match="a stride must be 1 … 63 tokens for windows of 64, got 64"):
        Sliding(64).pieces(text(), 64)


def test_the_stand_in_is_what_it_says(reader: Reader) -> None:
    ids = reader.ids(text(50).ids)
    nll, right = reader.scores(reader.hidden(ids)[0, :-1], ids[0, 1:])
    assert nll.numpy() == pytest.approx(wanted(range(1, 50), lambda token: token), abs=1e-6)
    assert right.tolist() == [exp(-loss) > 0.5 for loss in nll.tolist()]


def test_every_reduction_has_its_closed_form_here() -> None:
    assert {name for name in reductions() if f"test_{name}" not in globals()} == set()
