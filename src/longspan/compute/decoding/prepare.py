"""Find what a call of few queries over a cache has to do, once for all layers and steps whose tensors have equal specs.

`Cache` and the attention layers of an extended model ask here, and only here is the answer remembered.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from longspan.compute.decoding.build import StepBuilder
from longspan.compute.decoding.launched import launched
from longspan.compute.decoding.positions import KnownPositions, RowGroup, StepPositions
from longspan.compute.decoding.prepared import BatchedSteps, Prepared, Step, StepOfRows, TensorSpec
from longspan.compute.decoding.residual import ResidualRotation
from longspan.compute.fused.attention import scheme_refusal, tensors_refusal
from longspan.compute.inputs import Inputs
from longspan.compute.rotate import ReadyRotation
from longspan.memo import remember
from longspan.position_map import PositionMap
from longspan.scheme import Scheme
from longspan.slots import ScoreBias, Weights

MOST_QUERIES = 8
"""More queries than this are a prompt."""


class Request(NamedTuple):
    """What decides how few queries attend to a cache; equal requests get the same `Prepared`.

    Arguments:
        scheme, base_scale, backend: of the call; queries and keys come normalized.
        positions: of the queries and the keys.
        query, key, value: specs of the tensors, keys and values as the cache holds them.
        weights: names and specs of the learned weights.
        query_frame, key_frame: mapped positions that queries and keys are already rotated to; None for unrotated ones.
        threads: that may read keys at the same time.
    """

    scheme: Scheme
    positions: StepPositions
    query: TensorSpec
    key: TensorSpec
    value: TensorSpec
    weights: tuple[tuple[str, TensorSpec], ...]
    base_scale: float
    backend: str
    query_frame: PositionMap | None
    key_frame: PositionMap | None
    threads: int

    @classmethod
    def of(
        cls, query: Tensor, key: Tensor, value: Tensor, weights: Weights, scheme: Scheme, positions: StepPositions,
        base_scale: float, backend: str, frames: tuple[PositionMap | None, PositionMap | None],
    ) -> "Request":  # fmt: skip
        """The request for these tensors; keys and values as the cache holds them, frames of queries and keys."""
        specs = TensorSpec.of(query), TensorSpec.of(key), TensorSpec.of(value)
        learned = tuple((name, TensorSpec.of(weight)) for name, weight in weights.items())
        return cls(scheme, positions, *specs, learned, base_scale, backend, *frames, torch.get_num_threads())


@remember(16)
def prepare(request: Request) -> Prepared | None:
    """What to do with all tensors of a request.

    None where the call is more than one softmax of few queries in one run with their keys, in each row of the batch;
    where a backend other than "tiles" and "triton" is named; and where gradients are wanted.
    """
    launches = request.backend == "triton"
    if not _is_few_queries(request) or not (_is_launched(request) if launches else _is_one_softmax(request)):
        return None
    groups = request.positions.groups()
    if groups is None:
        return None
    builders = [_builder(request, group) for group in groups]
    steps = [launched(of, request.value.shape[3]) if launches else of.build() for of in builders]
    found = [step for step in steps if step is not None]
    if len(found) < len(steps):
        return None
    first, batch = groups[0] if groups else None, request.query.shape[0]
    sizes = request.query.shape[2], request.key.shape[2]
    if first and (first.start, first.stop, len(first.queries), len(first.keys)) == (0, batch, *sizes):
        return Prepared(found[0], _new_keys(request))
    of_rows = (_of_rows(group, step, request.query.device) for group, step in zip(groups, found, strict=True))
    return Prepared(BatchedSteps(tuple(of_rows)), _new_keys(request))


def prepare_call(x: Inputs, backend: str = "auto") -> Prepared | None:
    """What to do with a checked call; None as of `prepare`."""
    if x.query.shape[2] > MOST_QUERIES:
        return None
    positions = KnownPositions.of(x.queries, x.keys, len(x.query))
    frames = x.query_frame, x.key_frame
    return prepare(Request.of(x.query, x.key, x.value, x.weights, x.scheme, positions, x.base_scale, backend, frames))


def _is_few_queries(request: Request) -> bool:
    specs = request.query, request.key, request.value
    differentiated = any(spec.differentiated for spec in (*specs, *(spec for _, spec in request.weights)))
    # The kernel of the CPU reads other numbers where the channels of a token are apart.
    readable = request.query.device.type != "meta" and all(spec.stride == 1 for spec in specs)
    few = request.query.shape[2] <= MOST_QUERIES and request.backend in ("auto", "tiles", "triton")
    return few and readable and not differentiated


def _is_one_softmax(request: Request) -> bool:
    """Whether the call is one softmax of scores of the keys as they come, along one axis of positions."""
    scheme = request.scheme
    same_width = request.value.shape[3] == request.query.shape[3]
    scores_only = scheme.bias is None or isinstance(scheme.bias, ScoreBias)
    plain = not scheme.qk_norm and not scheme.cap and not scheme.reweight and not scheme.memory
    return same_width and scores_only and plain and scheme.rotation.num_axes == 1 and scheme.normalizer.order == 1


def _is_launched(request: Request) -> bool:
    """Whether the Triton kernel computes the call from the keys as they come."""
    query, scheme = request.query, request.scheme
    channels = max(query.shape[3], request.value.shape[3])
    refused = tensors_refusal(query.device, query.dtype, channels) or scheme_refusal(scheme)
    return not refused and not scheme.qk_norm and scheme.rotation.num_axes == 1


def _builder(request: Request, group: RowGroup) -> StepBuilder:
    scheme, query, key = request.scheme, request.query, request.key
    slots = {part.slot for part in scheme.parts()}
    return StepBuilder(
        scheme=scheme,
        frames=(request.query_frame, request.key_frame),
        span=group.span,
        base_scale=request.base_scale,
        batch=group.stop - group.start,
        heads=query.shape[1],
        kv_heads=key.shape[1],
        head_dim=query.shape[3],
        dtype=query.dtype,
        device=query.device,
        learned=any(name.partition(".")[0] in slots for name, _ in request.weights),
        threads=request.threads,
    )


def _of_rows(group: RowGroup, step: Step, device: torch.device) -> StepOfRows:
    queries, keys = (x.index if isinstance(x.index, slice) else x.index.to(device) for x in (group.queries, group.keys))
    return StepOfRows(slice(group.start, group.stop), queries, keys, step)


def _new_keys(request: Request) -> ReadyRotation | None:
    """The rotation of the newest keys to the frame of the cache; None where there is none."""
    positions, frame, head_dim = request.positions.new_keys(), request.key_frame, request.key.shape[3]
    if positions is None or frame is None:
        return None
    spectrum = request.scheme.rotation.spectrum(head_dim)
    new = ResidualRotation(frame(positions), spectrum, -1)
    return new.ready(positions.shape[1], head_dim, request.key.dtype, request.key.device)
