"""The dense reference is the literal loops, for every method and its company."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.drawing import PARTS, PER_METHOD, inputs, schemes
from longspan.compute.reference import reference
from oracle import oracle


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_reference_is_the_oracle(name: str, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    x = data.draw(inputs(scheme))
    wanted = oracle(x.query, x.key, x.value, scheme, x.queries, x.keys, x.weights, x.base_scale)
    torch.testing.assert_close(reference(x), wanted, rtol=1e-12, atol=1e-12)
