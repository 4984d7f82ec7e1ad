"""What every scheme keeps when it is computed: relative only, never the future, the same in every way of calling."""

from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from contract.drawing import (
    HEAD_DIM,
    LENGTH,
    PARTS,
    PER_METHOD,
    Shape,
    default,
    documents_of,
    initial_weights,
    inputs,
    paddings,
    schemes,
    tensors,
)
from longspan.compute.attend import attend
from longspan.compute.dense.reference import reference
from longspan.compute.places import Places
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme
from longspan.slots import Normalizer, Part, Weights

EXACT: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-11}
KEYS = 12


def call(scheme: Scheme, seed: int = 0, keys: int = KEYS, **options: Any) -> tuple[dict[str, Any], torch.Tensor]:
    """Arguments of a self-attention call (two rows, grouped queries) and its output."""
    generator = torch.Generator().manual_seed(seed)
    query, key, value = tensors(Shape(2, 2, 2, keys, keys), torch.float64, generator)
    weights = initial_weights(scheme, 4, generator)
    arguments: dict[str, Any] = {"query": query, "key": key, "value": value, "weights": weights}
    if scheme.rotation.num_axes > 1:
        steps = torch.randint(0, 3, (2, keys, scheme.rotation.num_axes), generator=generator)
        arguments["key_positions"] = steps.cumsum(1)
    return arguments, attend(scheme=scheme, **arguments, **options)


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_only_differences_of_places_count(name: str, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    period = scheme.shift_period
    if period is None:
        return
    x = data.draw(inputs(scheme))
    shift = period * data.draw(st.integers(1, 5))

    def shifted(places: Places) -> Places:
        return Places(places.order + shift, places.coordinate + shift, places.document)

    moved = replace(x, queries=shifted(x.queries), keys=shifted(x.keys))
    torch.testing.assert_close(reference(moved), reference(x), **EXACT)


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_the_future_is_never_seen(name: str, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    if not scheme.direction.causal:
        return
    arguments, whole = call(scheme, seed=data.draw(st.integers(0, 99)))
    seen = data.draw(st.integers(1, KEYS - 1))
    for name in ("key", "value"):
        arguments[name] = torch.cat(
            [arguments[name][:, :, :seen], torch.full_like(arguments[name][:, :, seen:], 1e3)], 2
        )
    changed = attend(scheme=scheme, **arguments)
    torch.testing.assert_close(changed[:, :, :seen], whole[:, :, :seen], **EXACT)


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_decoding_chunks_padding_and_packing_agree(name: str, data: st.DataObject) -> None:
    """Prefill = token by token = in chunks = left-padded = packed behind another document."""
    scheme = data.draw(schemes(with_part=name))
    if not scheme.direction.causal:
        return
    arguments, whole = call(scheme, seed=data.draw(st.integers(0, 99)))
    chunk = data.draw(st.integers(1, KEYS))

    def upto(stop: int, start: int) -> torch.Tensor:
        cut = {name: value[:, :, :stop] for name, value in arguments.items() if name in ("key", "value")}
        if "key_positions" in arguments:
            cut["key_positions"] = arguments["key_positions"][:, :stop]
        return attend(arguments["query"][:, :, start:stop], scheme=scheme, weights=arguments["weights"], **cut)

    for step in {1, chunk}:
        parts = [upto(min(start + step, KEYS), start) for start in range(0, KEYS, step)]
        torch.testing.assert_close(torch.cat(parts, 2), whole, **EXACT)

    pad = data.draw(st.integers(1, 5))
    padded = dict(arguments)
    for name in ("query", "key", "value"):
        noise = torch.randn(2, arguments[name].shape[1], pad, HEAD_DIM, dtype=torch.float64)
        padded[name] = torch.cat([noise, arguments[name]], 2)
    if "key_positions" in arguments:
        nowhere = torch.zeros(2, pad, scheme.rotation.num_axes).long()
        padded["key_positions"] = torch.cat([nowhere, arguments["key_positions"]], 1)
    mark = (torch.arange(KEYS + pad) < pad).expand(2, -1)
    left = attend(scheme=scheme, **padded, padding=mark)
    torch.testing.assert_close(left[:, :, pad:], whole, **EXACT)
    assert not left[:, :, :pad].any()
    if "key_positions" not in arguments:
        # Coordinates of a second document start again where order does: at zero.
        packed = attend(scheme=scheme, **padded, documents=(~mark).long())
        torch.testing.assert_close(packed[:, :, pad:], whole, **EXACT)


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_a_document_is_read_as_it_would_be_alone(name: str, data: st.DataObject) -> None:
    """Wherever its tokens lie between padding and other documents, at once and token by token."""
    scheme = data.draw(schemes(with_part=name))
    if scheme.rotation.num_axes > 1:
        return
    arguments, _ = call(scheme, seed=data.draw(st.integers(0, 99)))
    given_documents, padding = data.draw(documents_of(2, KEYS)), data.draw(paddings(2, KEYS))
    documents = torch.zeros(2, KEYS).long() if given_documents is None else given_documents
    real = torch.ones_like(documents, dtype=torch.bool) if padding is None else ~padding
    query, key, value, weights = arguments.values()
    found = [attend(query, key, value, scheme, weights=weights, documents=documents, padding=padding)]
    first = data.draw(st.integers(1, KEYS))
    if scheme.direction.causal:
        parts = [
            attend(
                query[:, :, start:stop], key[:, :, :stop], value[:, :, :stop], scheme, weights=weights,
                documents=documents[:, :stop], padding=None if padding is None else padding[:, :stop],
            )
            for start, stop in pairwise([0, *range(first, KEYS + 1)])
        ]  # fmt: skip
        found.append(torch.cat(parts, 2))
    wanted = torch.zeros_like(found[0])
    for b in range(2):
        for number in documents[b].unique():
            where = (documents[b] == number) & real[b]
            if where.any():
                q, k, v = (x[b : b + 1, :, where] for x in (query, key, value))
                wanted[b : b + 1, :, where] = attend(q, k, v, scheme, weights=weights, backend="reference")
    for out in found:
        torch.testing.assert_close(out, wanted, **EXACT)


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_what_claims_to_change_nothing_changes_nothing(name: str, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    part = getattr(scheme, PARTS[name].slot)
    if part.changes_nothing(KEYS):
        neutral = replace(scheme, **{part.slot: _neutral(part, scheme)})
        torch.testing.assert_close(call(neutral)[1], call(scheme)[1], **EXACT)


def _neutral(part: Part, scheme: Scheme) -> Part | None:
    if part.slot == "rotation":
        return RoPE(**{f.name: getattr(scheme.rotation, f.name) for f in fields(RoPE)})
    return getattr(Scheme(), part.slot)


@pytest.mark.parametrize("name", PARTS)
def test_default_setting_matters(name: str) -> None:
    """A method that never differs from the plain scheme is a method that is not there."""
    part = default(name)
    plain = Scheme.of(RoPE()) if part.slot != "rotation" else Scheme()
    scheme = replace(plain, **{part.slot: part})
    long, queries = (call(s, keys=3 * LENGTH)[1] for s in (scheme, plain)) if scheme.rotation.num_axes == 1 else (1, 0)
    same = torch.equal(torch.as_tensor(long), torch.as_tensor(queries))
    assert same == (scheme == plain)


@pytest.mark.parametrize("name", PARTS)
def test_gradients(name: str) -> None:
    """Reverse mode against finite differences, learned numbers included."""
    scheme = Scheme.of(default(name))
    generator = torch.Generator().manual_seed(0)
    query, key, value = tensors(Shape(1, 1, 2, 5, 5), torch.float64, generator)
    learned = initial_weights(scheme, 2, generator)
    positions = torch.arange(5)[None, :, None].expand(1, 5, scheme.rotation.num_axes)

    def output(query, key, value, *numbers):
        weights = dict(zip(learned, numbers, strict=True))
        return attend(query, key, value, scheme, key_positions=positions, weights=weights)

    tensors_ = [x.requires_grad_() for x in (query, key, value, *learned.values())]
    assert torch.autograd.gradcheck(output, tensors_, atol=1e-6, fast_mode=True)


@dataclass(frozen=True)
class Shaken(Normalizer):
    """A normalizer whose scores are off by as much as they are when computed in float32.

    A score is a sum of products, scaled, with a bias added: a few roundings, each relative to the score's size.
    """

    inner: Normalizer
    roundings: ClassVar[int] = 4

    def __call__(
        self, scores: Float[Tensor, "batch heads queries keys"], weights: Weights
    ) -> Float[Tensor, "batch heads queries keys"]:
        """The inner normalizer's weights for scores moved up or down at random."""
        sign = 2.0 * torch.randint(0, 2, scores.shape) - 1.0
        return self.inner(scores * (1 + self.roundings * torch.finfo(torch.float32).eps * sign), weights)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_loses_only_rounding(name: str, dtype: torch.dtype) -> None:
    """The output's error is at most twice what rounding inputs, scores and output alone costs."""
    scheme = Scheme.of(default(name))
    arguments, exact = call(scheme)
    low = {k: v.to(dtype) if k in ("query", "key", "value") else v for k, v in arguments.items()}
    high = {k: v.double() if k in ("query", "key", "value") else v for k, v in low.items()}
    computed = attend(scheme=scheme, **low, backend="reference").double()
    rounded = attend(scheme=scheme, **high)
    shaken = attend(scheme=replace(scheme, normalizer=Shaken(scheme.normalizer)), **high)
    budget = torch.finfo(dtype).eps * exact.abs().max() + (rounded.to(dtype).double() - rounded).abs().max()
    assert (computed - rounded).abs().max() <= 2 * (budget + (shaken - rounded).abs().max())
