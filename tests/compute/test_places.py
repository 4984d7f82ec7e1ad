"""Order, position and document of tokens, with documents and padding in any order."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.drawing import documents_of, paddings
from longspan.compute.places import PADDING, places
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


def test_a_document_goes_on_where_it_stopped() -> None:
    documents = torch.tensor([[1, 1, 2, 1, 2, 7]])
    padding = torch.tensor([[False, True, False, False, False, False]])
    _, key = places(6, 6, documents=documents, padding=padding)
    assert key.order[0, [0, 2, 3, 4, 5]].tolist() == [0, 0, 1, 1, 0]
    assert key.document.tolist() == [[1, PADDING, 2, 1, 2, 7]]
