"""Losses by token: in slices, and pieces of the same tokens once."""

import pytest
import torch

from longspan.measure.reading import reader as reader_file
from longspan.measure.reading.reader import Reader
from longspan.measure.reading.token_nll import Piece, score_pieces, token_nll
from tiny import gemma2, llama

IDS = torch.randint(2, 60, (200,), generator=torch.Generator().manual_seed(0)).tolist()


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
