"""Keys and values of the tokens read so far, kept as their scheme reads them fastest.

A key turns once, when it comes, to where most later queries want it (`standing`), and is read where it lies: a step
turns the keys of a window at most. Where the rotation changes on the way, all keys turn on together at each change;
where it decays, they stand in blocks, each with an origin of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from longspan.compute.decoding.frame import frame
from longspan.compute.decoding.prepared import Decoding, Patchwork
from longspan.compute.decoding.step import CHUNK, FEW, Turn, Turning
from longspan.compute.inputs import Inputs, TensorSpec, check_tensors
from longspan.compute.places import Places, places
from longspan.compute.run import decoding, run
from longspan.errors import RefusalError, ShapeError
from longspan.memo import remember
from longspan.notation import parse
from longspan.position_map import PositionMap
from longspan.scheme import Scheme
from longspan.slots import Rotation, Segment, Spectrum, Weights

ROOM = 4
"""A full cache grows by one part in so many."""


class Cache:
    """One attention layer that reads on, a prompt and then token by token: the same as `attend` on all tokens so far.

    Tokens stand at 0, 1, 2 … in each row of the batch, padding left out. All keys stay, those that a window hides too.
    What a step has to do is found once for the caches of all layers.

    Arguments:
        scheme, weights, scale, backend: of `attend`.

    Errors: RefusalError for a scheme that is not causal, or that has several coordinates a token.

    >>> cache, prompt, token = Cache("rope + window(2)"), torch.ones(1, 2, 5, 4), torch.ones(1, 2, 1, 4)
    >>> cache.attend(prompt, prompt, prompt).shape, cache.attend(token, token, token).shape, cache.length
    (torch.Size([1, 2, 5, 4]), torch.Size([1, 2, 1, 4]), 6)
    """

    def __init__(
        self,
        scheme: Scheme | str,
        *,
        weights: Mapping[str, Tensor] | None = None,
        scale: float | None = None,
        backend: str = "auto",
    ) -> None:
        scheme = parse(scheme) if isinstance(scheme, str) else scheme
        if not scheme.direction.causal:
            raise RefusalError("a cache reads on, but bidirectional queries see what comes after them: use attend()")
        if scheme.rotation.num_axes > 1:
            raise RefusalError(f"{scheme.rotation.name} has several coordinates a token, a cache one: use attend()")
        self.scheme, self.weights, self.scale, self.backend = scheme, dict(weights or {}), scale, backend
        self.length = 0
        self._content = replace(scheme, qk_norm=None)
        self._keys: Tensor | None = None
        self._values: Tensor | None = None
        self._padding: Bool[Tensor, "batch length"] | None = None
        self._rotation = scheme.rotation

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, *, padding: Bool[Tensor, "batch new"] | None = None
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """Read more tokens.

        Arguments:
            query: (batch, heads, queries, head_dim), of the last tokens: the new ones, or fewer.
            key, value: (batch, kv_heads, new, …), of the new tokens.
            padding: True where a new key is padding; its query's output is zero.

        Errors: of `attend`; RefusalError where gradients are asked for. After an error it is as if nothing was read.
        """
        return self._attend(query, key, value, padding)  # pyright: ignore[reportAttributeAccessIssue]

    @torch.compiler.disable  # what there is to do depends on how many tokens there are
    def _attend(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None) -> Tensor:
        if any(TensorSpec.of(tensor).differentiated for tensor in (query, key, value, *self.weights.values())):
            raise RefusalError("a cache keeps no graph: call it under torch.no_grad(), and attend() for gradients")
        check_tensors(query, key, value)
        query, key = self._normalized(query, key)
        hidden = self._hidden(padding, key)
        base = query.shape[3] ** -0.5 if self.scale is None else self.scale
        padded = None if hidden is None else hidden.cpu().numpy().tobytes()
        looks = TensorSpec.of(query), TensorSpec.of(key)
        call = _known(Call(self._content, self.length, *looks, base, self.backend, padded, hidden))
        self._keys, self._values = self._room(key, self._keys), self._room(value, self._values)
        call.turn_on(self._keys, self._rotation)
        self._rotation = call.segment.rotation
        out = call(query, key, value, self._keys, self._values, self.weights)
        self.length, self._padding = self.length + key.shape[2], hidden
        return out

    def crop(self, length: int) -> None:
        """Forget all but the first tokens.

        Errors: ShapeError where there are not so many.
        """
        if not 0 <= length <= self.length:
            raise ShapeError(f"a cache of {self.length} tokens cannot be cropped to {length}")
        self.length = length
        self._padding = None if self._padding is None else self._padding[:, :length]

    def select(self, rows: Int64[Tensor, " rows"]) -> None:
        """Keep these rows of the batch, in this order, repeated or left out: beams, or many answers to one prompt."""
        kept = (self._keys, self._values, self._padding)
        self._keys, self._values, self._padding = (x if x is None else x[rows] for x in kept)

    def _normalized(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        norm, dtype = self.scheme.qk_norm, torch.promote_types(query.dtype, torch.float32)
        if norm is None:
            return query, key
        learned = self.scheme.weights_of(norm, self.weights)
        normalized = norm.query(query.to(dtype), learned), norm.key(key.to(dtype), learned)
        return normalized[0].to(query.dtype), normalized[1].to(key.dtype)

    def _hidden(self, padding: Tensor | None, key: Tensor) -> Bool[Tensor, "batch length"] | None:
        """Which keys are padding, old and new; None where none is."""
        (batch, _, new, _), old = key.shape, self._padding
        if padding is not None and padding.shape != (batch, new):
            raise ShapeError(f"padding must be ({batch}, {new}), one per new key, got {tuple(padding.shape)}")
        if padding is None and old is None:
            return None
        nothing = key.new_zeros(batch, self.length + new, dtype=torch.bool)
        old = nothing[:, : self.length] if old is None else old
        return torch.cat([old, nothing[:, self.length :] if padding is None else padding], 1)

    def _room(self, new: Tensor, kept: Tensor | None) -> Tensor:
        """What is kept, with room for what is new."""
        length = self.length + new.shape[2]
        if kept is not None and self.length:
            alike = (*kept.shape[:2], new.shape[2], kept.shape[3])
            if new.shape != alike or (new.dtype, new.device) != (kept.dtype, kept.device):
                raise ShapeError(
                    f"new keys and values must be {alike} in {kept.dtype} on {kept.device} as those read before, "
                    f"got {tuple(new.shape)} in {new.dtype} on {new.device}"
                )
            if length <= kept.shape[2]:
                return kept
        room = new.new_empty(*new.shape[:2], length + length // ROOM, new.shape[3])
        if kept is not None and self.length:
            room[:, :, : self.length] = kept[:, :, : self.length]
        return room


@dataclass(frozen=True)
class Call:
    """What there is to do with new tokens: the same for all layers whose tensors look alike.

    Arguments:
        scheme, base_scale, backend: of `Inputs` and of `run`; queries and keys come normalized.
        before: how many tokens were read before.
        query, key: what the new ones look like.
        padded, hidden: which keys are padding, old and new, as a value and as a tensor; None where none is.
    """

    scheme: Scheme
    before: int
    query: TensorSpec
    key: TensorSpec
    base_scale: float
    backend: str
    padded: bytes | None
    hidden: Bool[Tensor, "batch length"] | None = field(compare=False)
    _steps: dict[tuple[TensorSpec, ...], Decoding | Patchwork] = field(default_factory=dict, compare=False)

    def turn_on(self, keys: Tensor, old: Rotation) -> None:
        """Turn the keys read before from the frame of an old rotation on to that of the one that serves now."""
        now = self.segment.rotation
        if self.before and now != old:
            _turn(keys[:, :, : self.before], self._turnings(self._at[:, : self.before], old, now))

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, weights: Weights
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """The output; the new keys and values are written behind those that were read before."""
        before, length = self.before, self.before + key.shape[2]
        keys, values = keys[:, :, :length], values[:, :, :length]
        keys[:, :, before:], values[:, :, before:] = key, value
        _turn(keys[:, :, before:], self._few if length - before <= FEW else self._fresh())
        if not before:  # as `attend` would read them
            return self._run(query, key, value, self.scheme, None, weights)
        if self.segment.start > self._first:  # rows of several rotations share no frame
            keys = keys.clone()
            _turn(keys, self._turnings(self._at, self.segment.rotation, None))
            return self._run(query, keys, values, self.scheme, None, weights)
        return self._run(query, keys, values, self._served, self._frame, weights)

    def _run(
        self, query: Tensor, key: Tensor, value: Tensor, scheme: Scheme, frame: PositionMap | None, weights: Weights
    ) -> Tensor:
        asked = tuple(TensorSpec.of(tensor) for tensor in (value, *weights.values()))
        step = self._steps.get(asked)
        if step is not None:
            return step(query, key, value, weights)
        x = Inputs(query, key, value, scheme, *self._places, weights, self.base_scale, key_frame=frame)
        step = decoding(x, self.backend)
        if step is None:
            return run(x, self.backend)
        self._steps[asked] = step
        return step(query, key, value, weights)

    def _turnings(
        self, at: Shaped[Tensor, "_ places 1"], old: Rotation | None, new: Rotation | None
    ) -> Iterator[Turning]:
        """Chunk by chunk, keys from the frame of one rotation on to that of another; None is no rotation."""
        place, head_dim = self._frame, self.key.shape[3]
        if place is None:
            return
        for some in at.split(CHUNK, 1):
            turn = Turn(place(some), _between(old, new, head_dim), -1)
            yield turn.ready(some.shape[1], head_dim, self.key.dtype, self.key.device)

    def _fresh(self) -> Iterator[Turning]:
        return self._turnings(self._at[:, self.before :], None, self.segment.rotation)

    @cached_property
    def _few(self) -> list[Turning]:
        return list(self._fresh())

    @cached_property
    def _served(self) -> Scheme:
        """With the one rotation of the last query's rows."""
        return replace(self.scheme, rotation=self.segment.rotation)

    @cached_property
    def _frame(self) -> PositionMap | None:
        return frame(self._served, self.key.shape[3], self.key.dtype)

    @cached_property
    def segment(self) -> Segment:
        """The rotation of the last query, and the rows that share it."""
        return self.scheme.rotation.segments(int(self._places[0].order.max()) + 1)[-1]

    @cached_property
    def _first(self) -> int:
        return int(self._places[0].order.min())

    @cached_property
    def _places(self) -> tuple[Places, Places]:
        queries, length = self.query.shape[2], self.before + self.key.shape[2]
        return places(queries, length, padding=self.hidden, device=self.query.device)

    @property
    def _at(self) -> Shaped[Tensor, "_ places 1"]:
        return self._places[1].coordinate


def _turn(keys: Tensor, turnings: Iterable[Turning]) -> None:
    for some, turning in zip(keys.split(CHUNK, 2), turnings, strict=False):
        some.copy_(turning(some))


@remember(4)  # a step's schemes: places of a large batch take their room
def _known(call: Call) -> Call:
    """The same one as before, with all that it found."""
    return call


@remember(64)
def _between(old: Rotation | None, new: Rotation | None, head_dim: int) -> Spectrum:
    """What turns from a frame of one rotation to the same frame of another; None is no rotation.

    One that changes on the way does not decay.
    """
    before, after = (None if rotation is None else rotation.spectrum(head_dim) for rotation in (old, new))
    some = after or before
    assert some is not None
    still = replace(some, frequencies=some.frequencies * 0, gain=1.0)
    before, after = before or still, after or still
    return replace(some, frequencies=after.frequencies - before.frequencies, gain=after.gain / before.gain)
