"""What every backend receives: tensors, scheme and positions that are known to fit each other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor
from torch._subclasses import FakeTensor

from longspan.compute.places import Places, places
from longspan.errors import SchemeError, ShapeError, shown
from longspan.memo import remember
from longspan.notation import parse
from longspan.position_map import PositionMap
from longspan.scheme import Scheme
from longspan.slots import UNBOUNDED, Part, Spectrum, VectorBias, Weights


class GivenPositions(NamedTuple):
    """Where the tokens of a call are, as far as its caller says so; `longspan.attend` documents each field."""

    query_positions: Tensor | None = None
    key_positions: Tensor | None = None
    documents: Tensor | None = None
    padding: Tensor | None = None


class Call(NamedTuple):
    """The arguments of one call of `longspan.attend`, which documents them; `inputs` checks them.

    A named tuple, because the compiler can trace how one is made.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    scheme: Scheme | str
    positions: GivenPositions
    weights: Mapping[str, Tensor]
    scale: float | None
    backend: str

    def check(self) -> Scheme:
        """Refuse arguments of another type than `attend` takes; gives the scheme as an object.

        Errors: ShapeError for tensors, SchemeError for scheme, weights and scale, NotationError for a scheme's text.
        """
        scheme = known_scheme(self.scheme)
        check_arguments(self.query, self.key, self.value, self.positions, self.weights, self.scale)
        return scheme

    def inputs(self) -> "Inputs":
        """The checked inputs of a backend.

        Errors: ShapeError, SchemeError and NotationError for arguments that are of another type or do not fit.
        """
        scheme = self.check()
        query, key = self.query, self.key
        if query.ndim != 4 or key.ndim != 4:
            raise ShapeError(
                f"query and key must be (batch, heads, tokens, head_dim), got {tuple(query.shape)} and "
                f"{tuple(key.shape)}"
            )
        queries, keys = places(query.shape[2], key.shape[2], **self.positions._asdict(), device=query.device)
        base_scale = query.shape[3] ** -0.5 if self.scale is None else self.scale
        return Inputs(query, key, self.value, scheme, queries, keys, self.weights, base_scale)


@dataclass(frozen=True, eq=False)
class Inputs:
    """The checked inputs of one call of attention.

    Arguments:
        query, key, value: (batch, heads, queries, head_dim) and (batch, kv_heads, keys, …); kv_heads divides heads.
        queries, keys: order, coordinate and document of each query and key; batch 1 where all rows agree.
        weights: learned numbers, named `slot.name` as in `Scheme.initial_weights`.
        base_scale: 1/√head_dim, or a model's own number.
        query_frame, key_frame: the position maps by which queries and keys were already rotated, with the rotation's
            gain and decay: a cache of keys rotated to their own positions has the frame p ↦ p. None: not rotated yet.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    scheme: Scheme
    queries: Places
    keys: Places
    weights: Mapping[str, Tensor]
    base_scale: float
    query_frame: PositionMap | None = None
    key_frame: PositionMap | None = None

    def __post_init__(self) -> None:
        check_tensors(self.query, self.key, self.value)
        batch, axes = len(self.query), self.scheme.rotation.num_axes
        for tokens, name, size in (
            (self.queries, "query", self.query.shape[2]),
            (self.keys, "key", self.key.shape[2]),
        ):
            if tokens.order.shape[0] not in (1, batch) or tokens.order.shape[1] != size:
                raise ShapeError(f"{name} places must be (1 or {batch}, {size}), got {tuple(tokens.order.shape)}")
            if tokens.coordinate.shape[-1] != axes:
                raise ShapeError(
                    f"{self.scheme.rotation.name} needs {axes} coordinates per token, {name} positions have "
                    f"{tokens.coordinate.shape[-1]}"
                )
        check_weights(self.scheme, self.weights, self.query.shape[1], self.query.shape[3])
        if isinstance(self.scheme.bias, VectorBias) and self.value.shape[3] != self.key.shape[3]:
            raise ShapeError(
                f"{self.scheme.bias.name} adds vectors of {self.key.shape[3]} channels to values: values must be as "
                f"wide as keys, got {self.value.shape[3]} channels"
            )
        rotated = self.query_frame is not None or self.key_frame is not None
        if rotated and len(self.scheme.rotation.segments(UNBOUNDED)) > 1:
            raise SchemeError(
                f"{self.scheme.rotation.name} changes its frequencies with length: pass queries and keys that are not "
                "rotated yet"
            )
        if self.query_frame is not None and isinstance(self.scheme.bias, VectorBias):
            raise SchemeError(
                f"{self.scheme.bias.name} multiplies vectors with queries: pass queries that are not rotated yet"
            )

    def weights_of(self, part: Part) -> Weights:
        """The learned numbers of one part."""
        return self.scheme.weights_of(part, self.weights)

    def readable(self) -> "Inputs":
        """The same inputs with the channels of each token side by side: fused kernels misread any other stride."""
        if all(tensor.stride(3) == 1 for tensor in (self.query, self.key, self.value)):
            return self
        return replace(self, query=self.query.contiguous(), key=self.key.contiguous(), value=self.value.contiguous())


def residual(
    mapped: Tensor, position: Tensor, frame: PositionMap | None, spectrum: Spectrum
) -> tuple[Tensor, Spectrum]:
    """The rotation still missing from tokens that a frame has rotated: how far, and in which spectrum.

    `mapped` is the position that a branch of the distance gives to tokens at `position`. A frame has applied the
    spectrum's gain already.
    """
    return (mapped, spectrum) if frame is None else (mapped - frame(position), replace(spectrum, gain=1.0))


def has_data(x: object) -> bool:
    """Whether an argument is more than a shape: tensors on "meta" and under `FakeTensorMode` have no data."""
    return not (isinstance(x, FakeTensor) or (isinstance(x, Tensor) and x.is_meta))


def known_scheme(given: Scheme | str) -> Scheme:
    """The scheme that a caller gave, as an object or as its text.

    Errors: SchemeError for anything else; NotationError for a text that is not a scheme.
    """
    if isinstance(given, str):
        return parse(given)
    if not isinstance(given, Scheme):
        raise SchemeError(
            f"scheme must be a Scheme or its text, got {shown(given)}; Scheme.of(part) makes one of parts, "
            "plan.layer(index, num_layers) takes one from a plan"
        )
    return given


def check_weights(scheme: Scheme, weights: Mapping[str, Tensor], num_heads: int, head_dim: int) -> None:
    """Refuse weights that lack a learned number of the scheme, or hold one of another shape.

    Errors: SchemeError, ShapeError.
    """
    for part in scheme.parts():
        wanted, given = _learned_shapes(part, num_heads, head_dim), scheme.weights_of(part, weights)
        if missing := [name for name in wanted if name not in given]:
            if part.optional_weights and not given:
                continue
            raise SchemeError(
                f"{part.name} learns {', '.join(wanted)}: pass weights={{'{part.slot}.{missing[0]}': ...}}; "
                "Scheme.initial_weights(num_heads, head_dim) makes the values at the start of training"
            )
        for name, shape in wanted.items():
            if given[name].shape != shape:
                raise ShapeError(
                    f"weights['{part.slot}.{name}'] must be {tuple(shape)}, got {tuple(given[name].shape)}"
                )


@remember(None)
def _learned_shapes(part: Part, num_heads: int, head_dim: int) -> Mapping[str, torch.Size]:
    values = part.initial_weights(num_heads, head_dim, torch.Generator())
    return {name: value.shape for name, value in values.items()}


def check_arguments(
    query: object, key: object, value: object, positions: tuple[object, ...], weights: object, scale: object
) -> None:
    """Refuse arguments that are not tensors, a mapping of tensors and a number.

    Errors: ShapeError for tensors, SchemeError for weights and scale.
    """
    names = ("query", "key", "value", "query_positions", "key_positions", "documents", "padding")
    for name, given in zip(names, (query, key, value, *positions), strict=True):
        if not isinstance(given, Tensor) and (given is not None or name in names[:3]):
            raise ShapeError(f"{name} must be a tensor, got {type(given).__name__}; torch.as_tensor makes one")
        if name == "padding":
            check_padding(given)
    check_numbers(weights, scale)


def check_padding(given: object) -> None:
    """Refuse padding that is not True and False: numbers might mean either.

    Errors: ShapeError.
    """
    if isinstance(given, Tensor) and given.dtype != torch.bool:
        raise ShapeError(
            f"padding must be bool, True where a key is padding, got {given.dtype}; of transformers' attention_mask, "
            "pass attention_mask == 0"
        )


def check_numbers(weights: object, scale: object) -> None:
    """Refuse weights and a scale that are not a mapping of tensors and a finite number.

    Errors: SchemeError.
    """
    if not isinstance(weights, Mapping):
        raise SchemeError(
            f"weights must map names to tensors, as Scheme.initial_weights does, got {type(weights).__name__}"
        )
    for name, given in weights.items():
        if not isinstance(name, str) or not isinstance(given, Tensor):
            raise SchemeError(
                f"weights must map names to tensors, got {shown(name)} for {type(given).__name__}; torch.as_tensor "
                "makes a tensor"
            )
    if scale is not None and not (isinstance(scale, Real) and isfinite(scale)):
        raise SchemeError(f"scale must be a finite number, got {shown(scale)}")


def check_tensors(query: Tensor, key: Tensor, value: Tensor) -> None:
    """Refuse tensors whose shapes, dtypes or devices do not fit each other.

    Errors: ShapeError.
    """
    for tensor, name in ((query, "query"), (key, "key"), (value, "value")):
        if tensor.ndim != 4:
            raise ShapeError(f"{name} must be (batch, heads, tokens, head_dim), got {tuple(tensor.shape)}")
        if 0 in tensor.shape:
            raise ShapeError(f"{name} must not be empty, got {tuple(tensor.shape)}")
        if not tensor.is_floating_point():
            raise ShapeError(f"{name} must be floating point, got {tensor.dtype}")
        if tensor.dtype != query.dtype or tensor.device != query.device:
            raise ShapeError(
                f"query, key and value must share dtype and device: query is {query.dtype} on {query.device}, "
                f"{name} is {tensor.dtype} on {tensor.device}"
            )
    for axis, name, given, wanted in (
        (0, "batch", key.shape[0], query.shape[0]),
        (3, "head_dim", key.shape[3], query.shape[3]),
    ):
        if given != wanted:
            raise ShapeError(f"axis {axis} ({name}) of key must be {wanted} as in query, got {given}")
    if value.shape[:3] != key.shape[:3]:
        raise ShapeError(f"value must start with {tuple(key.shape[:3])} as key does, got {tuple(value.shape)}")
    if query.shape[1] % key.shape[1]:
        raise ShapeError(f"query heads must be a multiple of key heads, got {query.shape[1]} for {key.shape[1]}")
