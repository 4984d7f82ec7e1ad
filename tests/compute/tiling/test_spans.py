"""Documents and padding as spans, however their tokens lie."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.drawing import documents_of, paddings
from longspan import attend
from longspan.compute.kernels import cpu
from longspan.compute.places import PADDING, Places, places
from longspan.compute.tiling.spans import patches


def pairs(queries: Places, keys: Places, batch: int) -> dict[tuple[int, int, int], tuple[int, int]]:
    """The orders of every pair of a query and a key that share a document, by row of the batch and index."""
    found = {}
    for b in range(batch):
        q, k = (min(b, len(x.document) - 1) for x in (queries, keys))
        for i, number in enumerate(queries.document[q].tolist()):
            for j, other in enumerate(keys.document[k].tolist()):
                if number == other != PADDING:
                    found[b, i, j] = int(queries.order[q, i]), int(keys.order[k, j])
    return found


@given(data=st.data())
def test_every_pair_lies_in_one_patch(data: st.DataObject) -> None:
    batch, keys = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 20))
    documents, padding = data.draw(documents_of(batch, keys)), data.draw(paddings(batch, keys))
    where = places(data.draw(st.integers(1, keys)), keys, documents=documents, padding=padding)
    found = patches(*where, batch, regular=True)
    assert not isinstance(found, str)
    seen = [
        ((b, i, j), (patch.span.first_query + m, patch.span.first_key + n))
        for patch in found
        for b in range(batch)[patch.rows]
        for m, i in enumerate(i for run in patch.queries.runs for i in run)
        for n, j in enumerate(j for run in patch.keys.runs for j in run)
    ]
    assert len(seen) == len(dict(seen))
    assert dict(seen) == pairs(*where, batch)


LEFT = torch.arange(9)[None] < torch.tensor([[0], [3], [3]])


@pytest.mark.parametrize(
    ("where", "count"),
    [
        (places(9, 9, padding=LEFT), 2),
        (places(9, 9, padding=LEFT.flip(1)), 2),
        (places(9, 9, documents=torch.tensor([[5, 5, 5, 2, 2, 8, 8, 8, 8]])), 3),
    ],
    ids=["left", "right", "packed"],
)
def test_a_single_run_is_read_in_place(where: tuple[Places, Places], count: int) -> None:
    """And equal neighboring rows are one patch."""
    x, found = torch.randn(3, 2, 9, 4), patches(*where, 3, regular=True)
    assert not isinstance(found, str)
    assert len(found) == count
    for patch in found:
        for tokens in (patch.queries, patch.keys):
            assert tokens.of(x).untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


@pytest.mark.parametrize(
    "text", ["rope", "rerope(5) + window(9)", "alibi", "t5", "xpos", "dynamic_ntk(trained_length=8)"]
)
def test_holes_and_returning_documents_stay_on_tiles(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = torch.randn(3, 2, 2, 60, 8, dtype=torch.float64)
    padding = torch.arange(60)[None] % torch.tensor([[7], [60]]) == 5
    documents = torch.arange(60)[None] // 11 % 2
    weights = {"bias.table": torch.randn(32, 2).double()} if text == "t5" else {}
    monkeypatch.setattr(cpu, "halvings", lambda *_: 1)
    options = {"padding": padding, "documents": documents, "weights": weights}
    out, wanted = (attend(q, k, v, text, backend=backend, **options) for backend in ("tiles", "reference"))
    torch.testing.assert_close(out, wanted, rtol=1e-11, atol=1e-11)
