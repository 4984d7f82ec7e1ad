import pytest
import torch

from longspan.measure.loss import BINS, loss_at_context, loss_by_position
from longspan.measure.reader import Reader
from longspan.measure.token_nll import token_nll
from tiny import TRAINED_LENGTH, llama

DOCUMENT = torch.randint(2, 60, (512,), generator=torch.Generator().manual_seed(0)).tolist()


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(llama(60))


def test_at_the_wanted_length_both_measurements_agree(reader: Reader) -> None:
    by_context = loss_at_context(reader, DOCUMENT, 512, 16)
    by_position = loss_by_position(reader, DOCUMENT, TRAINED_LENGTH, 16)
    assert by_context["loss"] == pytest.approx(by_position["loss"], abs=1e-5)
    assert by_context["fed"] == by_position["fed"] == 512


def test_a_context_is_what_was_fed(reader: Reader) -> None:
    """16 last tokens at a context of 64: two readings of 64 tokens, eight scored in each."""
    first = token_nll(reader, reader.ids(DOCUMENT[512 - 72 : 512 - 8]), 8)
    second = token_nll(reader, reader.ids(DOCUMENT[512 - 64 :]), 8)
    wanted = float(torch.cat([first, second], 1).mean())
    assert loss_at_context(reader, DOCUMENT, 64, 16) == {"loss": pytest.approx(wanted), "tokens": 16, "fed": 128}


def test_positions_and_parts_are_means_of_the_same_losses(reader: Reader) -> None:
    found = loss_by_position(reader, DOCUMENT, TRAINED_LENGTH, 16)
    losses = token_nll(reader, reader.ids(DOCUMENT))[0]
    assert len(found["positions"]) == BINS
    assert found["positions"][0] == pytest.approx(float(losses[:7].mean()))  # token 0 is predicted by nothing
    assert found["positions"][-1] == pytest.approx(float(losses[-8:].mean()))
    assert found["short"] == pytest.approx(float(losses[: TRAINED_LENGTH - 1].mean()))
    assert found["second_half"] == pytest.approx(float(losses[255:].mean()))


def test_an_opening_stands_before_every_text(reader: Reader) -> None:
    wanted = token_nll(reader, reader.ids([1, *DOCUMENT[1:]]), 16).mean()
    assert loss_by_position(reader, DOCUMENT, TRAINED_LENGTH, 16, (1,))["loss"] == pytest.approx(float(wanted))
    assert loss_at_context(reader, DOCUMENT, 512, 16, (1,))["loss"] == pytest.approx(float(wanted), abs=1e-5)
