"""Order, position and document of tokens, with documents and padding in any order."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.drawing import documents_of, paddings
from imitated_device import DEVICE, ImitatedDevice
from longspan.compute.places import PADDING, Places, contiguous, places
from oracle import counted


@given(data=st.data())
def test_tokens_are_counted_one_by_one(data: st.DataObject) -> None:
    batch, keys = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 20))
    documents, padding = data.draw(documents_of(batch, keys)), data.draw(paddings(batch, keys))
    queries = data.draw(st.integers(1, keys))
    query, key = places(queries, keys, documents=documents, padding=padding)
    wanted = counted(keys, documents, padding, None)
    real = wanted.document != PADDING
    assert torch.equal(key.document.expand_as(wanted.document), wanted.document)
    assert torch.equal(key.order.expand_as(wanted.order)[real], wanted.order[real])
    assert torch.equal(key.coordinate, key.order[..., None])
    assert torch.equal(query.order, key.order[:, -queries:])
    assert torch.equal(query.document, key.document[:, -queries:])


@pytest.mark.parametrize("padded", [False, True])
def test_questions_are_answered_by_the_cpu(padded: bool) -> None:
    """The places on a device know what they are without it, also those of a part; what came on it is fetched once."""
    padding = torch.tensor([[True, False, False, False, True, False]]) if padded else None
    _, key = places(6, 6, padding=padding)
    with ImitatedDevice() as device:
        moved = key.to(DEVICE)
        part, run = moved.slice(1, 4), moved.run
        for found, wanted in ((moved.here, key), (part.here, key.slice(1, 4))):
            for name in ("order", "coordinate", "document"):
                assert torch.equal(getattr(found, name), getattr(wanted, name))
        assert run == key.run
        assert not device.waits
        unknown = Places(moved.order, moved.coordinate, moved.document)
        assert torch.equal(unknown.here.order, key.order)
        assert unknown.run == key.run
        assert device.waits.total() == 3
        assert contiguous(6, DEVICE).here.run == contiguous(6).run
        assert device.waits.total() == 3


def test_a_document_goes_on_where_it_stopped() -> None:
    documents = torch.tensor([[1, 1, 2, 1, 2, 7]])
    padding = torch.tensor([[False, True, False, False, False, False]])
    _, key = places(6, 6, documents=documents, padding=padding)
    assert key.order[0, [0, 2, 3, 4, 5]].tolist() == [0, 0, 1, 1, 0]
    assert key.document.tolist() == [[1, PADDING, 2, 1, 2, 7]]
