"""Keys and values of the tokens read so far, kept as their scheme reads them fastest.

Each key rotates once, when it comes, to the position that most later queries want it at (its frame), and is read as it
lies: a step rotates the keys of a window at most. Where the rotation changes with length, all keys rotate on together
at each change; where it decays, keys lie in blocks, each with an origin of its own.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from longspan.autocast import autocasts, lowered
from longspan.compute.attend import run, step_backend
from longspan.compute.decoding.frame import layer_frame
from longspan.compute.decoding.positions import AppendedPositions
from longspan.compute.decoding.prepare import MOST_QUERIES, Request, prepare
from longspan.compute.decoding.prepared import TensorSpec
from longspan.compute.decoding.reframe import reframe
from longspan.compute.inputs import (
    Inputs,
    check_arguments,
    check_numbers,
    check_padding,
    check_tensors,
    check_weights,
    known_scheme,
)
from longspan.errors import RefusalError, SchemeError, ShapeError, nearest
from longspan.position_map import PositionMap
from longspan.scheme import Scheme
from longspan.slots import UNBOUNDED, Segment

ROOM = 4
"""A full cache grows by one part in so many."""


class Cache:
    """One attention layer that reads a prompt and then token by token: the same as `attend` on all tokens so far.

    The positions of tokens are 0, 1, 2 … in each row of the batch, padding left out. All keys stay, also those that a
    window hides. What a step has to do is found once for the caches of all layers.

    Arguments:
        scheme, weights, scale, backend: as in `attend`; weights are read in every call.

    Errors: SchemeError for what is no scheme, and for weights or a scale that mean nothing; RefusalError for a scheme
    that is not causal, or that has several positions per token.

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
        scheme, weights = known_scheme(scheme), {} if weights is None else weights
        check_numbers(weights, scale)
        if not scheme.direction.causal:
            raise RefusalError("a cache reads on, but bidirectional queries see what comes after them: use attend()")
        if scheme.rotation.num_axes > 1:
            raise RefusalError(f"{scheme.rotation.name} has several positions per token, a cache one: use attend()")
        if scheme.memory:
            raise RefusalError(f"{scheme.memory.name} does not keep all keys, as a cache does: use CompressedCache")
        self.scheme, self.weights, self.scale, self.backend = scheme, dict(weights), scale, backend
        self.length = 0
        self._content = replace(scheme, qk_norm=None)
        self._segments = scheme.rotation.segments(UNBOUNDED)
        self._segment, self._served = self._segments[0], self._content
        self._frame: PositionMap | None = None
        self._keys: Tensor | None = None
        self._values: Tensor | None = None
        self._padding: Bool[Tensor, "batch length"] | None = None
        self._checked: tuple[TensorSpec, ...] = ()
        self._step_backend = backend

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, *, padding: Bool[Tensor, "batch new"] | None = None
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """Read more tokens.

        Arguments:
            query: (batch, heads, queries, head_dim), of the last tokens: the new ones, or fewer.
            key, value: (batch, kv_heads, new, …), of the new tokens.
            padding: True where a new key is padding; the output of its query is zero.

        Errors: as of `attend`; SchemeError for weights that the scheme does not learn; RefusalError where gradients are
        wanted. After an error the cache is as if nothing was read.
        """
        query, key, value = lowered(query, key, value)
        if not autocasts(query):
            return self._attend(query, key, value, padding)  # pyright: ignore[reportAttributeAccessIssue]
        with torch.autocast(query.device.type, enabled=False):
            return self._attend(query, key, value, padding)  # pyright: ignore[reportAttributeAccessIssue]

    @torch.compiler.disable  # what there is to do depends on how many tokens there are
    def _attend(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None) -> Tensor:
        try:
            specs = tuple(map(TensorSpec.of, (query, key, value, *self.weights.values())))
        except AttributeError:
            check_arguments(query, key, value, (None, None, None, padding), self.weights, self.scale)
            raise
        if specs != self._checked:
            self._check(query, key, value, specs)
        if self.scheme.qk_norm is not None:
            query, key = self._normalized(query, key)
            specs = (TensorSpec.of(query), *specs[1:])
        (batch, _, new, _), queries, before = key.shape, query.shape[2], self.length
        hidden = self._hidden(padding, key)
        padded = None if hidden is None else hidden.numpy().tobytes()
        positions = AppendedPositions(batch, before, new, queries, padded)
        self._keys, self._values = self._room(key, self._keys), self._room(value, self._values)
        keys, values = self._keys[:, :, : before + new], self._values[:, :, : before + new]
        shares_rotation = self._follow(positions, keys)
        prepared = None
        if before and shares_rotation and max(new, queries) <= MOST_QUERIES:
            weights = tuple(zip(self.weights, specs[3:], strict=True))
            kept = TensorSpec.of(keys), TensorSpec.of(values)
            base, threads = self._base_scale(query), torch.get_num_threads()
            asked = specs[0], *kept, weights, base, self._step_backend, None, self._frame, threads
            prepared = prepare(Request(self._served, positions, *asked))
        values[:, :, before:] = value
        if prepared is None:
            out = self._attend_anew(query, key, value, keys, values, positions, shares_rotation)
        else:
            keys[:, :, before:] = key if prepared.new_keys is None else prepared.new_keys(key)
            out = prepared(query, keys, values, self.weights)
        self.length, self._padding = before + new, hidden
        return out

    def crop(self, length: int) -> None:
        """Forget all but the first tokens.

        Errors: ShapeError where the cache holds fewer.
        """
        if not 0 <= length <= self.length:
            raise ShapeError(f"a cache of {self.length} tokens cannot be cropped to {length}")
        self.length = length
        self._padding = None if self._padding is None else self._padding[:, :length]
        if not length:  # the next tokens may be of another batch
            self._keys = self._values = self._padding = None
            self._checked = ()

    def select(self, rows: Int64[Tensor, " rows"]) -> None:
        """Keep these rows of the batch, in this order, repeated or left out: beams, or many answers to one prompt."""
        self._keys, self._values = (x if x is None else x[rows] for x in (self._keys, self._values))
        self._padding = None if self._padding is None else self._padding[rows.cpu()]
        self._checked = ()

    def _attend_anew(
        self, query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor,
        positions: AppendedPositions, shares_rotation: bool,
    ) -> Tensor:  # fmt: skip
        """The output where nothing is prepared: prompts, other backends than "tiles", rows of several rotations."""
        before, base, rotation = positions.before, self._base_scale(query), self._segment.rotation
        where = positions.places(query.device)
        coordinate = where[1].coordinate
        keys[:, :, before:] = key
        reframe(keys[:, :, before:], coordinate[:, before:], self._frame, None, rotation)
        if not before:  # as `attend` reads a prompt: its keys are not rounded twice
            return run(Inputs(query, key, value, self._content, *where, self.weights, base), self.backend)
        if not shares_rotation:
            keys = keys.clone()
            reframe(keys, coordinate, self._frame, rotation, None)
            return run(Inputs(query, keys, values, self._content, *where, self.weights, base), self.backend)
        inputs = Inputs(query, keys, values, self._served, *where, self.weights, base, key_frame=self._frame)
        return run(inputs, self.backend)

    def _follow(self, positions: AppendedPositions, keys: Tensor) -> bool:
        """Rotate the keys read before on to the rotation of the last query; whether all queries share that rotation."""
        last, first = positions.before + positions.new - 1, positions.before + positions.new - positions.queries
        if len(self._segments) > 1 and positions.padding is not None:
            order = positions.places()[0].order
            last, first = int(order.max()), int(order.min())
        if not positions.before or not self._segment.start <= last < self._segment.stop:
            self._serve(next(s for s in self._segments if s.start <= last < s.stop), positions, keys)
        return self._segment.start <= first

    def _serve(self, segment: Segment, positions: AppendedPositions, keys: Tensor) -> None:
        before, old = positions.before, self._segment.rotation
        served = replace(self._content, rotation=segment.rotation)
        frame = layer_frame(served, keys.shape[3], keys.dtype)
        if before and segment != self._segment:
            coordinate = positions.places(keys.device)[1].coordinate
            reframe(keys[:, :, :before], coordinate[:, :before], frame, old, segment.rotation)
        self._segment, self._served, self._frame = segment, served, frame

    def _base_scale(self, query: Tensor) -> float:
        return query.shape[3] ** -0.5 if self.scale is None else self.scale

    def _check(self, query: Tensor, key: Tensor, value: Tensor, specs: tuple[TensorSpec, ...]) -> None:
        """Refuse tensors that do not fit each other, the scheme or what the cache holds."""
        check_tensors(query, key, value)
        if any(spec.differentiated for spec in specs):
            raise RefusalError("a cache keeps no graph: call it under torch.no_grad(), and attend() for gradients")
        heads, head_dim = query.shape[1], query.shape[3]
        known = self.scheme.initial_weights(heads, head_dim)
        for name in self.weights:
            if name not in known:
                learned = f"it learns {', '.join(known)}" if known else "it learns nothing"
                raise SchemeError(
                    f"weights[{name!r}] belongs to no part of the scheme{nearest(name, known)}; {learned}"
                )
        check_weights(self.scheme, self.weights, heads, head_dim)
        for new, kept in ((key, self._keys), (value, self._values)):
            if kept is None or not self.length:
                continue
            wanted = (*kept.shape[:2], new.shape[2], kept.shape[3])
            if new.shape != wanted or (new.dtype, new.device) != (kept.dtype, kept.device):
                raise ShapeError(
                    f"new keys and values must be {wanted} in {kept.dtype} on {kept.device} as those read before, "
                    f"got {tuple(new.shape)} in {new.dtype} on {new.device}"
                )
        where = query.device, query.dtype, head_dim, value.shape[3]
        self._step_backend = step_backend(*where, self._content, self.backend)
        self._checked = specs

    def _normalized(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        norm, dtype = self.scheme.qk_norm, torch.promote_types(query.dtype, torch.float32)
        assert norm is not None
        learned = self.scheme.weights_of(norm, self.weights)
        normalized = norm.query(query.to(dtype), learned), norm.key(key.to(dtype), learned)
        return normalized[0].to(query.dtype), normalized[1].to(key.dtype)

    def _hidden(self, padding: Tensor | None, key: Tensor) -> Bool[Tensor, "batch length"] | None:
        """Which keys are padding, old and new, on the CPU; None where none is."""
        (batch, _, new, _), old = key.shape, self._padding
        if padding is not None and not isinstance(padding, Tensor):
            raise ShapeError(f"padding must be a tensor, got {type(padding).__name__}; torch.as_tensor makes one")
        if padding is not None and padding.dtype != torch.bool:
            check_padding(padding)  # refuses
        if padding is not None and padding.shape != (batch, new):
            raise ShapeError(f"padding must be ({batch}, {new}), one per new key, got {tuple(padding.shape)}")
        if padding is None and old is None:
            return None
        nothing = torch.zeros(batch, self.length + new, dtype=torch.bool)
        old = nothing[:, : self.length] if old is None else old
        return torch.cat([old, nothing[:, self.length :] if padding is None else padding.cpu()], 1)

    def _room(self, new: Tensor, kept: Tensor | None) -> Tensor:
        """What is kept, with room for what is new."""
        length = self.length + new.shape[2]
        if kept is not None and self.length and length <= kept.shape[2]:
            return kept
        room = new.new_empty(*new.shape[:2], length + length // ROOM, new.shape[3])
        if kept is not None and self.length:
            room[:, :, : self.length] = kept[:, :, : self.length]
        return room
