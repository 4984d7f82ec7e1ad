"""Ring attention: a sequence that several processes share, each with a part of the queries, keys and values.

Each process attends with its own queries (`zigzag.py` says which) to its own keys, then to those that the others send,
and merges the parts by log-sum-exp:

    out = Σ_s e^{L_s − L} out_s        L = ln Σ_s e^{L_s}

Only chunks that the receiver's mask can see are sent: a window leaves two neighbors, whatever the length. In the
backward pass keys and values go round again, each part is computed again, and what keys and values gain goes back:

    ∂out_s = e^{L_s − L} g             ∂L_s = e^{L_s − L} ⟨g, out_s − out⟩

so that memory is that of the process's own tokens and of one other's.

Source: Liu et al. 2023, "Ring Attention with Blockwise Transformers", arXiv:2310.01889.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from longspan.autocast import lowered, without_autocast
from longspan.compute.inputs import Inputs, check_numbers, check_tensors, check_weights
from longspan.compute.kernels.kernel import KERNELS
from longspan.compute.kernels.once import once
from longspan.compute.ring.sequence import Part, Shared
from longspan.compute.ring.zigzag import Zigzag
from longspan.compute.tiling.decompose import share as share_of
from longspan.compute.tiling.softmax import SpanSoftmax, needs_steps_of_one, refusal
from longspan.errors import RefusalError, ShapeError
from longspan.position_map import PositionMap
from longspan.scheme import Scheme
from longspan.slots import VectorBias


@dataclass(frozen=True, eq=False)
class RingCall:
    """What the parts of one call have in common.

    Arguments:
        scale: 1/√head_dim, or a model's own number.
        shared: where the tokens of the whole sequence are.
        frame: the position map by which queries and keys were rotated before; None for not yet.
    """

    scale: float
    shared: Shared
    frame: PositionMap | None = None


@dataclass(frozen=True, eq=False)
class Ring:
    """Attention over a sequence that the processes of a group share.

    Arguments:
        scheme: of the attention.
        zigzag: who holds what.
        group: processes; None for all.
        bytes_sent: what this process has sent so far, by "forward" and "backward".

    Errors: RefusalError for a scheme whose parts cannot be merged.
    """

    scheme: Scheme
    zigzag: Zigzag
    group: Any = None
    bytes_sent: dict[str, int] = field(default_factory=lambda: {"forward": 0, "backward": 0})

    def __post_init__(self) -> None:
        scheme = self.scheme
        reason = refusal(scheme)
        several = scheme.reweight or scheme.normalizer.order != 1 or isinstance(scheme.bias, VectorBias)
        if reason is None and several:
            part = scheme.reweight or (scheme.bias if isinstance(scheme.bias, VectorBias) else scheme.normalizer)
            reason = f"{part.name} is more than one softmax"
        if reason is not None:
            raise RefusalError(f"a sequence cannot be shared by several processes: {reason}")

    @cached_property
    def rank(self) -> int:
        """This process."""
        return dist.get_rank(self.group)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        weights: Mapping[str, Tensor] | None = None,
        *,
        scale: float,
        shared: Shared | None = None,
        frame: PositionMap | None = None,
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """Attend with this process's tokens, in the order of `zigzag.orders(rank)`.

        The gradients of weights are those of this process's queries: their sum over processes is that of the sequence.

        Arguments:
            query, key, value: (batch, heads, tokens, head_dim), as for `longspan.attend`.
            weights: learned numbers, the same in all processes.
            scale: 1/√head_dim, or a model's own number.
            shared: where the tokens of the whole sequence are; None for one document at the positions 0 … length − 1.
            frame: the position map by which queries and keys were rotated before; None for not yet.

        Errors: ShapeError for tensors that do not fit; SchemeError for weights that do not; RefusalError where
        positions must step by one and do not.
        """
        weights = weights or {}
        query, key, value = lowered(query, key, value)
        check_tensors(query, key, value)
        check_numbers(weights, scale)
        check_weights(self.scheme, weights, query.shape[1], query.shape[3])
        held = 2 * self.zigzag.size
        if query.shape[2] != held or key.shape[2] != held:
            raise ShapeError(
                f"each process must give its {held} tokens, got {query.shape[2]} queries, {key.shape[2]} keys"
            )
        call = RingCall(scale, Shared.contiguous(self.zigzag) if shared is None else shared, frame)
        names = tuple(weights)
        with without_autocast(query):
            return _RingAttention.apply(self, call, names, query, key, value, *weights.values())  # pyright: ignore[reportReturnType]

    def parts(self, call: RingCall, step: int) -> Iterator[tuple[int, int]]:
        """Yield (own half, chunk of keys) for every part that exists among the chunks of process rank − step."""
        for chunk in call.shared.needed(self.scheme, self.rank, (self.rank - step) % self.zigzag.ranks):
            for half, mine in enumerate(self.zigzag.chunks(self.rank)):
                if call.shared.pairs(self.scheme, mine, chunk):
                    yield half, chunk

    def rows(self, half: int) -> slice:
        """The tokens of one own chunk."""
        return slice(half * self.zigzag.size, (half + 1) * self.zigzag.size)

    def part(
        self,
        call: RingCall,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        weights: Mapping[str, Tensor],
        half: int,
        chunk: int,
    ) -> tuple[Tensor, Tensor] | None:
        """Output and log-sum-exp of one own chunk of queries over one chunk of keys; None where no pair exists."""
        mine, device = self.zigzag.chunks(self.rank)[half], query.device
        parts = call.shared.parts(mine, chunk, len(query), needs_steps_of_one(self.scheme))
        queries, keys = (call.shared.chunk(number, device) for number in (mine, chunk))
        rest = weights, call.scale, call.frame, call.frame
        inputs = Inputs(query, key, value, self.scheme, queries, keys, *rest).readable()
        found = [(each.patch, *self._span(each, inputs)) for each in parts]
        if len(found) == 1 and found[0][1].shape[:3] == query.shape[:3]:
            return found[0][1:]
        if not found:
            return None
        out = found[0][1].new_zeros(*query.shape[:3], value.shape[-1])
        lse = found[0][2].new_full(query.shape[:3], -torch.inf)
        for patch, own, own_lse in found:
            out[patch.rows, :, patch.queries.index] = own
            lse[patch.rows, :, patch.queries.index] = own_lse
        return out, lse

    def _span(self, part: Part, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # How sharp a query is depends on all keys that it sees, and not on those of this chunk.
        softmax = SpanSoftmax.of(part.patch.of(inputs), part.whole, KERNELS[inputs.query.device.type])
        return replace(softmax, span=part.patch.span, _rotated={}).attend()

    def logit(self, query: Tensor, weights: Mapping[str, Tensor]) -> Tensor | None:
        """The score of the key without a value that the normalizer adds, (heads)."""
        normalizer = self.scheme.normalizer
        found = normalizer.extra_logit(query.shape[1], self.scheme.weights_of(normalizer, weights))
        return None if found is None else found.to(query.device)

    def receive(self, call: RingCall, step: int, key: Tensor, value: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
        """Send own chunks `step` processes on, and return the chunks that come, by number; step 0 has the own ones."""
        ranks, me = self.zigzag.ranks, self.rank
        if not step:
            return dict(zip(self.zigzag.chunks(me), zip(key.chunk(2, 2), value.chunk(2, 2), strict=True), strict=True))
        to, source = (me + step) % ranks, (me - step) % ranks
        own = self.zigzag.chunks(me)
        going = [own.index(chunk) for chunk in call.shared.needed(self.scheme, to, me)]
        coming = call.shared.needed(self.scheme, me, source)
        sent = [x.chunk(2, 2)[half].contiguous() for half in going for x in (key, value)]
        into = [torch.empty_like(x.chunk(2, 2)[0].contiguous()) for _ in coming for x in (key, value)]
        self._exchange("forward", sent, to, into, source)
        return {chunk: (into[2 * i], into[2 * i + 1]) for i, chunk in enumerate(coming)}

    def give_back(
        self,
        call: RingCall,
        step: int,
        gradients: Mapping[int, tuple[Tensor, Tensor]],
        key: Tensor,
        value: Tensor,
    ) -> dict[int, tuple[Tensor, Tensor]]:
        """Send what the chunks of `receive(step)` gained to their owner; return what own chunks gained, by half."""
        ranks, me = self.zigzag.ranks, self.rank
        if not step:
            return {self.zigzag.chunks(me).index(chunk): gained for chunk, gained in gradients.items()}
        owner, user = (me - step) % ranks, (me + step) % ranks
        sent = [x for chunk in call.shared.needed(self.scheme, me, owner) for x in gradients[chunk]]
        own = self.zigzag.chunks(me)
        halves = [own.index(chunk) for chunk in call.shared.needed(self.scheme, user, me)]
        into = [torch.empty_like(x.chunk(2, 2)[0].contiguous()) for _ in halves for x in (key, value)]
        self._exchange("backward", sent, owner, into, user)
        return {half: (into[2 * i], into[2 * i + 1]) for i, half in enumerate(halves)}

    def _exchange(self, kind: str, sent: list[Tensor], to: int, into: list[Tensor], source: int) -> None:
        def peer(rank: int) -> int:
            return rank if self.group is None else dist.get_global_rank(self.group, rank)

        work = [dist.P2POp(dist.isend, x, peer(to), self.group) for x in sent]
        work += [dist.P2POp(dist.irecv, x, peer(source), self.group) for x in into]
        self.bytes_sent[kind] += sum(x.numel() * x.element_size() for x in sent)
        for request in dist.batch_isend_irecv(work) if work else ():
            request.wait()


NO_SECOND_DERIVATIVE = (
    'a sequence that processes share has no second derivative: use attend in one process, with backend="blocks"'
)


class _RingAttention(torch.autograd.Function):
    """The parts of a process, merged; what is kept for the backward pass is of the size of its own tokens."""

    @staticmethod
    def forward(ctx, ring: Ring, call: RingCall, names: tuple[str, ...], query, key, value, *numbers):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Merge the parts, step by step."""
        weights = dict(zip(names, numbers, strict=True))
        dtype = torch.promote_types(query.dtype, torch.float32)
        out = query.new_zeros(*query.shape[:3], value.shape[-1], dtype=dtype)
        lse = query.new_full(query.shape[:3], -torch.inf, dtype=dtype)
        for step in range(ring.zigzag.ranks):
            held = ring.receive(call, step, key, value)
            for half, chunk in ring.parts(call, step):
                rows = ring.rows(half)
                found = ring.part(call, query[:, :, rows], *held[chunk], weights, half, chunk)
                if found is None:
                    continue
                part, part_lse = found
                total = torch.logaddexp(lse[:, :, rows], part_lse)
                out[:, :, rows] = torch.lerp(out[:, :, rows], part.to(dtype), share_of(part_lse, total))
                lse[:, :, rows] = total
        logit = ring.logit(query, weights)
        if logit is not None:
            total = torch.logaddexp(lse, logit[:, None].to(dtype))
            out *= share_of(lse, total)
            lse = total
        ctx.ring, ctx.call, ctx.names = ring, call, names
        ctx.save_for_backward(query, key, value, out, lse, *numbers)
        return out.to(query.dtype)

    @staticmethod
    def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute each part again, with the share that it has of the whole."""
        query, key, value, out, lse, *numbers = ctx.saved_tensors
        with torch.no_grad():
            found = _RingAttention._gradients(ctx, gradient, query, key, value, out, lse, *numbers)
        if torch.is_grad_enabled():
            found = once(NO_SECOND_DERIVATIVE, found, (gradient, query, key, value, *numbers))
        return None, None, None, *found

    @staticmethod
    def _gradients(ctx, gradient: Tensor, *saved: Tensor) -> list[Tensor | None]:
        ring, call, names = ctx.ring, ctx.call, ctx.names
        query, key, value, out, lse, *numbers = saved
        gradient = gradient.to(out.dtype)
        sums = [torch.zeros_like(x, dtype=out.dtype) for x in (query, key, value, *numbers)]
        for step in range(ring.zigzag.ranks):
            held = ring.receive(call, step, key, value)
            gained = {chunk: (torch.zeros_like(k), torch.zeros_like(v)) for chunk, (k, v) in held.items()}
            for half, chunk in ring.parts(call, step):
                rows = ring.rows(half)
                leaves = [x.detach().requires_grad_() for x in (query[:, :, rows], *held[chunk], *numbers)]
                with torch.enable_grad():
                    weights = dict(zip(names, leaves[3:], strict=True))
                    found = ring.part(call, *leaves[:3], weights, half, chunk)
                if found is None:
                    continue
                part, part_lse = found
                share, own = share_of(part_lse.detach(), lse[:, :, rows]), gradient[:, :, rows]
                along = (own * (part.detach().to(own.dtype) - out[:, :, rows])).sum(-1)
                into = [(part, (share * own).to(part.dtype)), (part_lse, (share[..., 0] * along).to(part_lse.dtype))]
                outputs, into = zip(*(each for each in into if each[0].requires_grad), strict=True)
                grown = torch.autograd.grad(outputs, leaves, into, allow_unused=True)
                _add([sums[0][:, :, rows], *gained[chunk], *sums[3:]], grown)
            for half, grown in ring.give_back(call, step, gained, key, value).items():
                rows = ring.rows(half)
                sums[1][:, :, rows] += grown[0]
                sums[2][:, :, rows] += grown[1]
        leaves = [x.detach().requires_grad_() for x in numbers]
        with torch.enable_grad():
            logit = ring.logit(query, dict(zip(names, leaves, strict=True)))
        if logit is not None and logit.requires_grad:
            share = (logit.detach()[:, None].to(lse.dtype) - lse).exp()
            lost = -(share * (gradient * out).sum(-1)).sum((0, 2))
            _add(sums[3:], torch.autograd.grad(logit, leaves, lost.to(logit.dtype), allow_unused=True))
        given = (query, key, value, *numbers)
        return [total.to(x.dtype) for total, x in zip(sums, given, strict=True)]


def _add(sums: Sequence[Tensor], found: Sequence[Tensor | None]) -> None:
    for total, own in zip(sums, found, strict=True):
        if own is not None:
            total += own
