"""Losses by token: in chunks and in slices."""

from typing import Any

import pytest
import torch

from longspan.measure import reader as reader_file
from longspan.measure.reader import Reader
from longspan.measure.token_nll import Piece, score_pieces, token_nll
from longspan.pretrained.attach import attached
from tiny import gemma2, llama

IDS = torch.randint(2, 60, (200,), generator=torch.Generator().manual_seed(0)).tolist()
METHODS = (
    "rope",
    "rerope(window=16) + log_length(trained_length=64)",
    "self_extend(window=16, group=8)",
    "ntk(factor=4)",
)
MODELS = {"llama": llama, "gemma2": gemma2}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    return MODELS[request.param](60)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunk", [1, 37, 199, 500])
def test_a_text_in_chunks_is_the_text(model: Any, method: str, chunk: int) -> None:
    if chunk == 1 and method != "rope":
        pytest.skip("slow, and the contract of the methods has it")
    with attached(model, method):
        reader = Reader(model)
        ids = reader.ids(IDS)
        torch.testing.assert_close(token_nll(reader, ids, 150, chunk), token_nll(reader, ids, 150), atol=1e-4, rtol=0)


def test_logits_of_few_positions_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(gemma2(60))
    ids = reader.ids(IDS)
    whole = token_nll(reader, ids)
    monkeypatch.setattr(reader_file, "SLICE_BYTES", 7 * 4 * 60)
    most: list[int] = []
    head = reader.head
    monkeypatch.setattr(reader, "head", lambda hidden: most.append(len(hidden)) or head(hidden))
    assert torch.equal(token_nll(reader, ids), whole)
    assert max(most) == 7


def test_losses_are_those_of_the_models_own_logits() -> None:
    """A softcap included."""
    model = gemma2(60)
    reader = Reader(model)
    ids = reader.ids(IDS)
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, :-1].double()
    found = score_pieces(reader, [Piece(tuple(IDS))])[Piece(tuple(IDS))]
    wanted = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    torch.testing.assert_close(found.nll, wanted, atol=1e-5, rtol=0)
    assert torch.equal(found.right, logits.argmax(1) == ids[0, 1:])


def test_pieces_of_the_same_tokens_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(llama(60))
    readings: list[int] = []
    hidden = reader.hidden
    monkeypatch.setattr(reader, "hidden", lambda ids: readings.append(ids.shape[1]) or hidden(ids))
    some, tail = Piece(tuple(IDS), 3), Piece(tuple(IDS), 190)
    found = score_pieces(reader, [tail, some, some, Piece(tuple(IDS[:50]))])
    assert readings == [200, 50]
    assert len(found[some].nll) == 197
    assert torch.equal(found[some].nll[-10:], found[tail].nll)
    assert torch.equal(found[some].right[-10:], found[tail].right)
