"""The position probe: where positions act inside the softmax alone, a constant input gives a constant output.

Rows that sum to one average equal values to that value, whatever the scores (Luo et al. 2022, arXiv:2205.13401,
section 3; kexue.fm/archives/9105). What escapes does so after the scores: weights that do not sum to one, factors on
the weights, positions added to the values.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.drawing import HEAD_DIM, PARTS, PER_METHOD, default, initial_weights, schemes
from longspan.compute.attend import attend
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme

HEADS, PLACES = 4, 12
ESCAPING = {"urpe", "l2", "shaw", "squared_relu", "softmax_plus_one"}


def probe(scheme: Scheme, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The output at each of twelve equal tokens, and the value that all of them hold."""
    generator = torch.Generator().manual_seed(seed)
    token, value = torch.randn(2, 1, HEADS, 1, HEAD_DIM, dtype=torch.float64, generator=generator)
    steps = torch.randint(0, 3, (1, PLACES, scheme.rotation.num_axes), generator=generator)
    positions = steps.cumsum(1) if scheme.rotation.num_axes > 1 else None
    # The key is the query, so that scores are positive and a squared ReLU sees them.
    query, value = (x.expand(-1, -1, PLACES, -1) for x in (token, value))
    weights = initial_weights(scheme, HEADS, generator)
    return attend(query, query, value, scheme, key_positions=positions, weights=weights), value


@pytest.mark.parametrize("name", sorted(PARTS.keys() - ESCAPING))
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_positions_inside_the_softmax_cannot_be_told(name: str, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    if scheme.only_inside_softmax:
        output, value = probe(scheme, data.draw(st.integers(0, 99)))
        torch.testing.assert_close(output, value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(PARTS.keys() - ESCAPING))
def test_at_its_default_a_method_acts_inside_the_softmax(name: str) -> None:
    """Guards the test above: there is a case for every method."""
    scheme = Scheme.of(default(name))
    assert scheme.only_inside_softmax
    output, value = probe(scheme)
    torch.testing.assert_close(output, value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(ESCAPING))
def test_positions_after_the_softmax_can_be_told(name: str) -> None:
    """Beside RoPE, which gives equal tokens scores that depend on their distance."""
    scheme = Scheme.of(RoPE(), default(name))
    assert not scheme.only_inside_softmax
    output, _ = probe(scheme)
    spread = (output - output.mean(2, keepdim=True)).abs().amax((1, 3))
    assert (spread > 1e-3).all()
