"""Six equivalences that every mixer obeys, in float64, outputs and gradients: its definition, token by token, is what
it computes in parallel, in chunks of any size, in packed documents, behind padding, and from a saved state on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from contract.drawing import GEOMETRY, LENGTH, documents_of, paddings
from longspan.catalogue import mixers
from longspan.compute.mix import SavedState, initial_state, mix
from longspan.errors import RefusalError, SchemeError, ShapeError
from longspan.slots import Mixer

MIXERS = mixers()
GROWING = ("attention", "gau", "gau_alpha", "mega", "mla", "sparse_attention")
"""Mixers that keep something of every token; Mega does with chunk=0, its default."""
EXAMPLES = max(2, settings().max_examples // 12)
"""Examples of each property for each mixer."""
RTOL, ATOL = 1e-9, 1e-10
"""Numbers are of the size of one, and some tens of them are added in another order."""


@dataclass(frozen=True)
class Call:
    """A drawn mixer with its learned numbers, off their initial values so that they matter, and a layer's input."""

    mixer: Mixer
    weights: dict[str, Tensor]
    x: Tensor

    def __call__(self, x: Tensor | None = None, **given: Any) -> Tensor:
        return mix(self.x if x is None else x, self.mixer, self.weights, **given)[0]

    def kept(self, x: Tensor | None = None, **given: Any) -> tuple[Tensor, SavedState]:
        y, state = mix(self.x if x is None else x, self.mixer, self.weights, output_final_state=True, **given)
        assert state is not None
        return y, state


@st.composite
def drawn(draw: st.DrawFn, name: str) -> Mixer:
    make, given = MIXERS[name], {}
    hints = get_type_hints(make)
    for f in fields(make):
        drawing = st.integers(16, 64) if f.name == "trained_length" else _value(hints[f.name])
        value = draw(st.none() | drawing)
        if value is not None:
            given[f.name] = value
    try:
        filled = make(**given).fill(GEOMETRY, LENGTH)
    except SchemeError:
        assume(False)
        raise
    assert isinstance(filled, Mixer)
    return filled


def _value(hint: Any) -> st.SearchStrategy[Any]:
    for kind in get_args(hint) if NoneType in get_args(hint) else (hint,):
        if get_origin(kind) is Literal:
            return st.sampled_from(get_args(kind))
        if kind in (int, float, bool):
            return {int: st.integers(1, 6), float: st.sampled_from([0.25, 0.5, 1.0, 2.0]), bool: st.booleans()}[kind]
    return st.none()


@st.composite
def calls(draw: st.DrawFn, name: str, most: int = 13) -> Call:
    mixer = draw(drawn(name))
    heads, head_dim = draw(st.integers(1, 3)), draw(st.sampled_from([2, 4, 8]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    try:
        plain = mixer.initial_weights(heads, head_dim, generator)
    except SchemeError:  # sizes that its paper does not have
        assume(False)
        raise
    weights = {
        key: value.double() + 0.3 * torch.rand(value.shape, dtype=torch.float64, generator=generator)
        for key, value in plain.items()
    }
    shape = draw(st.integers(1, 2)), draw(st.integers(1, most)), heads * head_dim
    return Call(mixer, weights, torch.randn(shape, dtype=torch.float64, generator=generator))


def close(found: Tensor, wanted: Tensor) -> None:
    assert wanted.isfinite().all()
    torch.testing.assert_close(found, wanted, rtol=RTOL, atol=ATOL)


def close_states(found: SavedState, wanted: SavedState) -> None:
    assert [group.rows for group in found.groups] == [group.rows for group in wanted.groups]
    for one, other in zip(found.groups, wanted.groups, strict=True):
        assert one.tensors.keys() == other.tensors.keys()
        for name, value in other.tensors.items():
            torch.testing.assert_close(one.tensors[name], value, rtol=RTOL, atol=ATOL)


@contextmanager
def one_line(kind: type[Exception], words: str) -> Iterator[None]:
    """Something is refused, and the message is one line."""
    with pytest.raises(kind, match=words) as refused:
        yield
    assert len(str(refused.value).splitlines()) == 1


def test_there_are_mixers() -> None:
    assert MIXERS


@pytest.mark.parametrize("name", MIXERS)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_every_mode_is_the_definition(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    wanted, after = call.kept(mode="recurrent")
    assert wanted.shape == call.x.shape
    for mode in call.mixer.modes:
        close(call(mode=mode, chunk=data.draw(st.integers(1, 16))), wanted)
    found, state = call.kept(chunk=data.draw(st.integers(1, 16)))
    close(found, wanted)
    close_states(state, after)


@pytest.mark.parametrize("name", MIXERS)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_every_mode_has_the_same_gradients(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name, most=7))
    chunk, direction = data.draw(st.integers(1, 8)), torch.randn_like(call.x)
    found = {}
    for mode in call.mixer.modes:
        leaves = [t.detach().clone().requires_grad_() for t in (call.x, *call.weights.values())]
        x, weights = leaves[0], dict(zip(call.weights, leaves[1:], strict=True))
        loss = (mix(x, call.mixer, weights, mode=mode, chunk=chunk)[0] * direction).sum()
        found[mode] = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    for gradients in found.values():
        for one, other in zip(gradients, found["recurrent"], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", MIXERS)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_packed_documents_and_padding_are_texts_alone(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    batch, tokens, _ = call.x.shape
    documents, padding = data.draw(documents_of(batch, tokens)), data.draw(paddings(batch, tokens))
    chunk = data.draw(st.integers(1, 8))
    found, state = call.kept(documents=documents, padding=padding, chunk=chunk)
    close(call(documents=documents, padding=padding, chunk=chunk), found)  # runs of unlike length are read together
    number = torch.zeros(batch, tokens, dtype=torch.int64) if documents is None else documents
    real = torch.ones(batch, tokens, dtype=torch.bool) if padding is None else ~padding
    assert (found[~real] == 0).all()
    for row in range(batch):
        last = initial_state(call.mixer, 1, call.weights)
        where = real[row].nonzero()[:, 0]
        for document in number[row, where].unique():
            places = where[number[row, where] == document]
            wanted, after = call.kept(call.x[row : row + 1, places], mode="recurrent")
            close(found[row : row + 1, places], wanted)
            last = after if places[-1] == where[-1] else last
        close_states(state.select(torch.tensor([row])), last)


@pytest.mark.parametrize("name", MIXERS)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_saved_state_goes_on(name: str, data: st.DataObject) -> None:
    """Rows may have read different numbers of tokens behind padding of their own."""
    call = data.draw(calls(name))
    batch, tokens, _ = call.x.shape
    wanted, after = call.kept(mode="recurrent")
    cuts = sorted(data.draw(st.lists(st.integers(0, tokens), max_size=3)))
    state, outputs = None, []
    for start, stop in zip([0, *cuts], [*cuts, tokens], strict=True):
        chunk = data.draw(st.integers(1, 8))
        y, state = call.kept(call.x[:, start:stop], initial_state=state, chunk=chunk)
        outputs.append(y)
    assert state is not None
    close(torch.cat(outputs, 1), wanted)
    close_states(state, after)
    padding = data.draw(paddings(batch, tokens))
    if padding is not None:
        _, state = call.kept(padding=padding)
        more = torch.randn(batch, 2, call.x.shape[2], dtype=torch.float64)
        first, state = call.kept(more[:, :1], initial_state=state)
        found = torch.cat([first, call(more[:, 1:], initial_state=state)], 1)
        for row in range(batch):
            alone = torch.cat([call.x[row, ~padding[row]], more[row]])[None]
            close(found[row : row + 1], call(alone, mode="recurrent")[:, -2:])


@pytest.mark.parametrize("name", MIXERS)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_both_directions_read_texts_alone(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    batch, tokens, _ = call.x.shape
    if not call.mixer.has_both_directions:
        with one_line(RefusalError, f"{name} has no bidirectional form"):
            call(causal=False)
        return
    padding = data.draw(paddings(batch, tokens))
    found = call(causal=False, padding=padding)
    for row in range(batch):
        real = slice(None) if padding is None else ~padding[row]
        if len(alone := call.x[row][real]):
            close(found[row][real][None], call(alone[None], causal=False))


@pytest.mark.parametrize("name", MIXERS)
def test_states_of_others_are_refused(name: str) -> None:
    mixer = MIXERS[name]().fill(GEOMETRY, LENGTH)
    assert isinstance(mixer, Mixer)
    weights, x = mixer.initial_weights(2, 4), torch.randn(2, 3, 8)
    state = initial_state(mixer, 2, weights)
    for other in MIXERS.values():
        made = other().fill(GEOMETRY, LENGTH)
        if made != mixer and isinstance(made, Mixer):
            with one_line(RefusalError, "give it to that mixer"):
                mix(x, mixer, weights, initial_state=initial_state(made, 2, made.initial_weights(2, 4)))
    with one_line(ShapeError, "this state is of 2 rows and x has 1"):
        mix(x[:1], mixer, weights, initial_state=state)
    assert mixer.initial_state(1, weights)
    with one_line(ShapeError, "of this state has the shape"):
        mix(x, mixer, weights, initial_state=initial_state(mixer, 2, mixer.initial_weights(3, 6)))


@pytest.mark.parametrize("name", MIXERS)
def test_what_one_more_token_costs(name: str) -> None:
    """Bytes kept and products computed: the same after 256 tokens and after 512, or more, but never less."""
    mixer = MIXERS[name]().fill(GEOMETRY, LENGTH)
    assert isinstance(mixer, Mixer)
    weights, costs = mixer.initial_weights(2, 4), []
    for tokens in (256, 512):
        with torch.no_grad():
            _, state = mix(torch.randn(1, tokens, 8), mixer, weights, mode="chunk", output_final_state=True)
            assert state is not None
            with FlopCounterMode(display=False) as counter:
                mix(torch.randn(1, 1, 8), mixer, weights, initial_state=state)
        costs.append((state.nbytes, counter.get_total_flops()))
    (bytes_before, products_before), (bytes_after, products_after) = costs
    if name in GROWING:
        assert bytes_after > 1.5 * bytes_before
        assert products_after >= products_before > 0
    else:
        assert costs[0] == costs[1]


@pytest.mark.parametrize("name", MIXERS)
def test_a_chunk_of_nothing_is_refused(name: str) -> None:
    mixer = MIXERS[name]().fill(GEOMETRY, LENGTH)
    assert isinstance(mixer, Mixer)
    with one_line(ShapeError, "a chunk must have at least 1 token, got 0"):
        mix(torch.randn(1, 3, 8), mixer, mixer.initial_weights(2, 4), chunk=0)


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_dtype_stays(name: str, dtype: torch.dtype) -> None:
    mixer = MIXERS[name]().fill(GEOMETRY, LENGTH)
    assert isinstance(mixer, Mixer)
    weights = {key: value.to(dtype) for key, value in mixer.initial_weights(2, 4).items()}
    x = torch.randn(2, 9, 8, dtype=dtype)
    for mode in mixer.modes:
        y, _ = mix(x, mixer, weights, mode=mode)
        assert y.dtype == dtype
        assert y.isfinite().all()


@pytest.mark.parametrize("name", MIXERS)
def test_a_layer_can_hold_the_learned_numbers(name: str) -> None:
    """As parameters: some names, such as 'update', are methods of the module that holds them."""
    mixer = MIXERS[name]().fill(GEOMETRY, LENGTH)
    assert isinstance(mixer, Mixer)
    weights = mixer.initial_weights(2, 4)
    assert dict(torch.nn.ParameterDict(weights).named_parameters()).keys() == weights.keys()
    assert all(value.is_floating_point() for value in weights.values())
