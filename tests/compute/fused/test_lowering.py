"""Sweeps hold every pair that exists exactly once, and rotate it by the distance that the scheme defines."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.drawing import inputs, schemes
from longspan.compute.fused.attention import scheme_refusal
from longspan.compute.fused.lowering import lower
from longspan.compute.fused.tokens import Tokens
from longspan.compute.places import visible
from longspan.compute.tiling.softmax import needs_steps_of_one
from longspan.notation import parse


@given(st.data())
def test_every_pair_lies_in_one_sweep(data: st.DataObject) -> None:
    scheme = data.draw(schemes())
    x = data.draw(inputs(scheme, torch.float32, max_keys=24))
    tokens = Tokens.of(x.queries, x.keys, needs_steps_of_one(scheme))
    if isinstance(tokens, str) or scheme_refusal(scheme):
        return
    x = tokens.sort(x)
    size = scheme.rotation.decay_block if scheme.rotation.decays else 0
    sweeps = lower(scheme, tokens, size)
    low, high = sweeps.seen[..., None, :].unbind(-1)
    key = torch.arange(x.key.shape[2])
    inside = (key >= low) & (key < high)
    exist = visible(x.queries, x.keys, scheme.mask, scheme.direction.causal)[:, 0]
    assert torch.equal(inside.sum(0).expand_as(exist), exist.long())
    assert torch.equal(sweeps.visible[:, 0].expand(len(exist), -1), exist.sum(-1))
    assert ((sweeps.seen.diff(dim=2) >= 0) | ~_sees(sweeps.seen)).all()
    if scheme.distance.is_true or scheme.distance.by_section:
        return
    query, keys = x.queries.coordinate, x.keys.coordinate
    wanted = scheme.distance(query[..., 0][:, :, None], keys[..., 0][:, None])
    for (of_query, of_key), pairs in zip(sweeps.copies, inside & exist, strict=True):
        branch, other = sweeps.query_copies[of_query], sweeps.key_copies[of_key].branch
        found = branch.query(query)[..., 0][:, :, None] - other.key(keys)[..., 0][:, None]
        rows = pairs.expand(len(wanted), -1, -1)
        torch.testing.assert_close(found[rows].double(), wanted[rows].double(), rtol=0, atol=1e-9)


def _sees(seen: torch.Tensor) -> torch.Tensor:
    """Of neighboring rows, whether both see a key."""
    some = seen[..., 1] > seen[..., 0]
    return (some[:, :, 1:] & some[:, :, :-1])[..., None]


def test_causal_sweeps_leave_out_what_lies_ahead() -> None:
    """ReRoPE has a third branch, for keys after the query: no launch visits it where none is seen."""
    order = torch.arange(9)[None]
    numbers = (torch.full_like(order, number) for number in (0, 9, 0, 0))
    start, count, first, shift = numbers
    tokens = Tokens(order, start, count, first, shift, None, None, 0, 9)
    assert len(lower(parse("rerope(window=4)"), tokens).copies) == 2
    assert len(lower(parse("rerope(window=4) + bidirectional"), tokens).copies) == 3
