"""The dense reference is the literal loops, for every method and its company."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.drawing import PARTS, PER_METHOD, documents_of, inputs, paddings, schemes
from longspan.compute.attend import attend
from longspan.compute.dense.reference import reference
from oracle import counted, oracle


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_reference_is_the_oracle(name: str, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    x = data.draw(inputs(scheme))
    wanted = oracle(x.query, x.key, x.value, scheme, x.queries, x.keys, x.weights, x.base_scale)
    torch.testing.assert_close(reference(x), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_padding_and_documents_are_the_oracles(name: str, data: st.DataObject) -> None:
    """The oracle counts the tokens itself: what a caller means by padding and documents, on the backend he gets."""
    scheme = data.draw(schemes(with_part=name))
    x = data.draw(inputs(scheme))
    batch, keys, queries = len(x.query), x.key.shape[2], x.query.shape[2]
    documents, padding = data.draw(documents_of(batch, keys)), data.draw(paddings(batch, keys))
    axes = scheme.rotation.num_axes
    positions = None if axes == 1 else torch.arange(keys * axes).view(1, keys, axes)
    where = counted(keys, documents, padding, positions)
    tensors = x.query, x.key, x.value
    options = {"documents": documents, "padding": padding, "weights": x.weights, "key_positions": positions}
    found = attend(*tensors, scheme, **options)
    wanted = oracle(*tensors, scheme, where.last(queries), where, x.weights, x.base_scale)
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)
