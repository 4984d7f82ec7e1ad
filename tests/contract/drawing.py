"""Hypothesis strategies: parts, schemes and inputs drawn over the whole catalogue."""

from dataclasses import dataclass, fields, replace
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from hypothesis import assume, settings
from hypothesis import strategies as st
from torch import Tensor

from longspan.catalogue import methods, mixers
from longspan.compute.inputs import Inputs
from longspan.compute.places import Places, places
from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.scheme import Scheme
from longspan.slots import Part

HEAD_DIM = 8
GEOMETRY = Geometry(num_heads=4, num_kv_heads=2, head_dim=HEAD_DIM, trained_length=8)
PER_METHOD = max(2, settings().max_examples // 25)
"""Examples of each property for each method: there are many methods, and `make thorough` draws twenty times as many."""
LENGTH = 16
"""The wanted length in tokens with which open fields are closed."""

# What a memory keeps is no function of a pair: tests/compute/test_compressed.py has its laws.
PARTS: dict[str, type[Part]] = {
    name: method.make
    for name, method in methods().items()
    if isinstance(method.make, type) and issubclass(method.make, Part) and method.slot != "memory"
}

VALUES: dict[str, type[Part]] = PARTS | mixers()
"""All that a plan is made of."""


def default(name: str) -> Part:
    """A method with its defaults, filled from the geometry."""
    return VALUES[name]().fill(GEOMETRY, LENGTH)


@st.composite
def part(draw: st.DrawFn, name: str) -> Part:
    """A method with drawn arguments."""
    make = PARTS[name]
    hints = get_type_hints(make)
    given = {}
    for f in fields(make):
        if draw(st.booleans()):
            value = draw(_value(hints[f.name]))
            if value is not None:
                given[f.name] = value
    try:
        return make(**given).fill(GEOMETRY, LENGTH)
    except SchemeError:
        assume(False)
        raise


def _value(hint: Any) -> st.SearchStrategy[Any]:
    for kind in get_args(hint) if NoneType in get_args(hint) else (hint,):
        if kind is int:
            return st.integers(0, 2 * LENGTH)
        if kind is float:
            return st.sampled_from([0.5, 1.0, 1.5, 2.0, 4.0, 7.5])
        if get_origin(kind) is Literal:
            return st.sampled_from(get_args(kind))
        if kind is bool:
            return st.booleans()
        if kind == tuple[int, ...]:
            return st.lists(st.integers(1, LENGTH), min_size=1, max_size=4).map(tuple)
    return st.none()


def names(slot: str) -> list[str]:
    """The methods of one slot."""
    return [name for name, make in PARTS.items() if make.slot == slot]


@st.composite
def schemes(draw: st.DrawFn, with_part: str | None = None) -> Scheme:
    """A scheme: `with_part` for sure, and a part or two of other slots."""
    chosen = {} if with_part is None else {PARTS[with_part].slot: draw(part(with_part))}
    for slot in draw(
        st.lists(st.sampled_from(sorted({make.slot for make in PARTS.values()})), max_size=3, unique=True)
    ):
        if slot not in chosen:
            chosen[slot] = draw(part(draw(st.sampled_from(names(slot)))))
    try:
        return Scheme.of(*chosen.values()).fill(GEOMETRY, LENGTH)
    except SchemeError:
        assume(False)
        raise


@dataclass(frozen=True)
class Shape:
    """The drawn sizes of one call."""

    batch: int
    num_kv_heads: int
    group: int
    queries: int
    keys: int


@st.composite
def paddings(draw: st.DrawFn, batch: int, keys: int) -> Tensor | None:
    """Any padding: none, or in each row a run on the left, on the right or in the middle, all of it, or many holes."""
    if not draw(st.booleans()):
        return None
    place = torch.arange(keys)
    rows = []
    for _ in range(batch):
        if draw(st.booleans()):
            a, b = sorted((draw(st.integers(0, keys)), draw(st.integers(0, keys))))
            rows.append((place >= a) & (place < b))
        else:
            generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
            rows.append(torch.rand(keys, generator=generator) < draw(st.sampled_from([0.2, 0.5, 0.8])))
    return torch.stack(rows)


@st.composite
def documents_of(draw: st.DrawFn, batch: int, keys: int) -> Tensor | None:
    """Any documents: none, one behind the other, or runs and tokens of several in any order (1 1 2 1)."""
    if not draw(st.booleans()):
        return None
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    runs = (torch.rand(batch, keys, generator=generator) < draw(st.sampled_from([0.1, 0.3, 1.0]))).long().cumsum(1)
    if draw(st.booleans()):
        return runs
    numbers = torch.randint(0, draw(st.integers(2, 4)), (batch, keys + 1), generator=generator)
    return numbers.gather(1, runs)


@st.composite
def inputs(draw: st.DrawFn, scheme: Scheme, dtype: torch.dtype = torch.float64, max_keys: int = 12) -> Inputs:
    """One call: sizes, padding, documents and positions drawn, tensors random from a drawn seed."""
    keys = draw(st.integers(1, max_keys))
    queries = draw(st.sampled_from(sorted({1, keys, max(1, keys // 2)})))
    batch, kv_heads, group = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    padding, documents, positions = draw(paddings(batch, keys)), draw(documents_of(batch, keys)), None
    axes = scheme.rotation.num_axes
    if axes > 1 or draw(st.booleans()):
        steps = torch.randint(1, 5, (batch, keys, axes), generator=generator)
        positions = steps.cumsum(1) if axes > 1 else steps.cumsum(1)[..., 0]
    query_places, key_places = places(queries, keys, key_positions=positions, documents=documents, padding=padding)
    return Inputs(
        *tensors(Shape(batch, kv_heads, group, queries, keys), dtype, generator),
        scheme,
        query_places,
        key_places,
        initial_weights(scheme, kv_heads * group, generator),
        HEAD_DIM**-0.5,
    )


def tensors(shape: Shape, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Normal query, key and value."""
    heads = shape.num_kv_heads * shape.group
    query = torch.randn(shape.batch, heads, shape.queries, HEAD_DIM, dtype=dtype, generator=generator)
    key, value = torch.randn(2, shape.batch, shape.num_kv_heads, shape.keys, HEAD_DIM, dtype=dtype, generator=generator)
    return query, key, value


def initial_weights(scheme: Scheme, heads: int, generator: torch.Generator) -> dict[str, Tensor]:
    """The scheme's learned numbers, off their initial values so that they matter."""
    return {
        name: value.double() + 0.3 * torch.rand(value.shape, dtype=torch.float64, generator=generator)
        for name, value in scheme.initial_weights(heads, HEAD_DIM, generator).items()
    }


def on(x: Inputs, device: torch.device) -> Inputs:
    """The same call with all its tensors on a device."""

    def moved(places: Places) -> Places:
        return Places(places.order.to(device), places.coordinate.to(device), places.document.to(device))

    weights = {name: value.to(device) for name, value in x.weights.items()}
    query, key, value = (t.to(device) for t in (x.query, x.key, x.value))
    where = {"queries": moved(x.queries), "keys": moved(x.keys)}
    return replace(x, query=query, key=key, value=value, weights=weights, **where)
