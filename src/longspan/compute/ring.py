"""Ring attention: a sequence that several processes share, each with a part of the queries, keys and values.

The sequence is cut into 2 R chunks for R processes, and process r holds chunks r and 2 R − 1 − r (zigzag): under a
causal mask every process then computes the same number of pairs. Each process attends with its own queries to its own
keys, then to those that the others send, and merges the parts by log-sum-exp:

    out = Σ_s e^{L_s − L} out_s        L = ln Σ_s e^{L_s}

Only chunks that the receiver's mask can see are sent: a window leaves two neighbors, whatever the length. In the
backward pass keys and values go round again, each part is computed again, and what keys and values gain goes back:

    ∂out_s = e^{L_s − L} g             ∂L_s = e^{L_s − L} ⟨g, out_s − out⟩

so that memory is that of the process's own tokens and of one other's.

Source: Liu et al. 2023, "Ring Attention with Blockwise Transformers", arXiv:2310.01889; for the order of the chunks
zhuzilin/ring-flash-attention (zigzag), after Brandon et al. 2023, "Striped Attention", arXiv:2311.09431.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.compute.inputs import Inputs, check_numbers, check_tensors, check_weights
from longspan.compute.kernels.kernel import KERNELS
from longspan.compute.places import contiguous
from longspan.compute.tiling.decompose import share as share_of
from longspan.compute.tiling.lowering import Span, count_visible
from longspan.compute.tiling.softmax import SpanSoftmax, refusal
from longspan.errors import RefusalError, ShapeError
from longspan.memo import remember
from longspan.scheme import Scheme
from longspan.slots import VectorBias


@dataclass(frozen=True)
class Zigzag:
    """Which tokens of a sequence each process holds.

    Arguments:
        ranks: R, processes.
        length: tokens of the whole sequence, a multiple of 2 R.

    >>> Zigzag(2, 8).orders(0).tolist()
    [0, 1, 6, 7]

    Errors: ShapeError for another length.
    """

    ranks: int
    length: int

    def __post_init__(self) -> None:
        if self.ranks < 1 or self.length < 1 or self.length % (2 * self.ranks):
            raise ShapeError(
                f"a sequence for {self.ranks} processes must be a multiple of {2 * self.ranks} tokens, got "
                f"{self.length}"
            )

    @property
    def size(self) -> int:
        """Tokens of a chunk."""
        return self.length // (2 * self.ranks)

    def chunks(self, rank: int) -> tuple[int, int]:
        """The two chunks of a process."""
        return rank, 2 * self.ranks - 1 - rank

    def owner(self, chunk: int) -> int:
        """The process that holds a chunk."""
        return min(chunk, 2 * self.ranks - 1 - chunk)

    def orders(self, rank: int) -> Int64[Tensor, " tokens"]:
        """The orders of a process's tokens in the whole sequence, in the order in which it holds them."""
        return torch.cat([torch.arange(chunk * self.size, (chunk + 1) * self.size) for chunk in self.chunks(rank)])

    def span(self, query_chunk: int, key_chunk: int) -> Span:
        """Queries of one chunk against keys of another."""
        return Span(self.size, self.size, query_chunk * self.size, key_chunk * self.size)

    def pairs(self, scheme: Scheme, query_chunk: int, key_chunk: int) -> int:
        """How many pairs of two chunks the mask lets exist."""
        return _count_pairs(scheme, self.span(query_chunk, key_chunk))

    def needed(self, scheme: Scheme, rank: int, source: int) -> tuple[int, ...]:
        """The chunks of `source` of which process `rank` sees a key."""
        own = self.chunks(rank)
        return tuple(c for c in self.chunks(source) if any(self.pairs(scheme, mine, c) for mine in own))

    def sent(self, scheme: Scheme, rank: int) -> int:
        """How many keys process `rank` sends in a forward pass, and values as many."""
        others = (other for other in range(self.ranks) if other != rank)
        return sum(len(self.needed(scheme, other, rank)) * self.size for other in others)


@remember(4096)
def _count_pairs(scheme: Scheme, span: Span) -> int:
    """How many pairs of a span the mask lets exist; every call of every layer asks again."""
    return int(count_visible(scheme, span, torch.device("cpu")).sum())


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
        self, query: Tensor, key: Tensor, value: Tensor, weights: Mapping[str, Tensor] | None = None, *, scale: float
    ) -> Float[Tensor, "batch heads queries value_dim"]:
        """Attend with this process's tokens, in the order of `zigzag.orders(rank)`.

        The gradients of weights are those of this process's queries: their sum over processes is that of the sequence.

        Arguments:
            query, key, value: (batch, heads, tokens, head_dim), as for `longspan.attend`.
            weights: learned numbers, the same in all processes.
            scale: 1/√head_dim, or a model's own number.

        Errors: ShapeError for tensors that do not fit; SchemeError for weights that do not.
        """
        weights = weights or {}
        check_tensors(query, key, value)
        check_numbers(weights, scale)
        check_weights(self.scheme, weights, query.shape[1], query.shape[3])
        held = 2 * self.zigzag.size
        if query.shape[2] != held or key.shape[2] != held:
            raise ShapeError(
                f"each process must give its {held} tokens, got {query.shape[2]} queries, {key.shape[2]} keys"
            )
        names = tuple(weights)
        return _RingAttention.apply(self, scale, names, query, key, value, *weights.values())  # pyright: ignore[reportReturnType]

    def parts(self, step: int) -> Iterator[tuple[int, int]]:
        """Yield (own half, chunk of keys) for every part that exists among the chunks of process rank − step."""
        for chunk in self.zigzag.needed(self.scheme, self.rank, (self.rank - step) % self.zigzag.ranks):
            for half, mine in enumerate(self.zigzag.chunks(self.rank)):
                if self.zigzag.pairs(self.scheme, mine, chunk):
                    yield half, chunk

    def rows(self, half: int) -> slice:
        """The tokens of one own chunk."""
        return slice(half * self.zigzag.size, (half + 1) * self.zigzag.size)

    def part(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        weights: Mapping[str, Tensor],
        scale: float,
        half: int,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        """Output and log-sum-exp of one own chunk of queries over one chunk of keys."""
        size, mine = self.zigzag.size, self.zigzag.chunks(self.rank)[half]
        places = contiguous(self.zigzag.length, query.device)
        queries, keys = (places.slice(c * size, (c + 1) * size) for c in (mine, chunk))
        inputs = Inputs(query, key, value, self.scheme, queries, keys, weights, scale).readable()
        # How sharp a query is depends on all keys that it sees, and not on those of this chunk.
        whole = Span(size, self.zigzag.length, mine * size)
        softmax = SpanSoftmax.of(inputs, whole, KERNELS[query.device.type])
        return replace(softmax, span=self.zigzag.span(mine, chunk), _rotated={}).attend()

    def logit(self, query: Tensor, weights: Mapping[str, Tensor]) -> Tensor | None:
        """The score of the key without a value that the normalizer adds, (heads)."""
        normalizer = self.scheme.normalizer
        found = normalizer.extra_logit(query.shape[1], self.scheme.weights_of(normalizer, weights))
        return None if found is None else found.to(query.device)

    def receive(self, step: int, key: Tensor, value: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
        """Send own chunks `step` processes on, and return the chunks that come, by number; step 0 has the own ones."""
        ranks, me = self.zigzag.ranks, self.rank
        if not step:
            return dict(zip(self.zigzag.chunks(me), zip(key.chunk(2, 2), value.chunk(2, 2), strict=True), strict=True))
        to, source = (me + step) % ranks, (me - step) % ranks
        own = self.zigzag.chunks(me)
        going = [own.index(chunk) for chunk in self.zigzag.needed(self.scheme, to, me)]
        coming = self.zigzag.needed(self.scheme, me, source)
        sent = [x.chunk(2, 2)[half].contiguous() for half in going for x in (key, value)]
        into = [torch.empty_like(x.chunk(2, 2)[0].contiguous()) for _ in coming for x in (key, value)]
        self._exchange("forward", sent, to, into, source)
        return {chunk: (into[2 * i], into[2 * i + 1]) for i, chunk in enumerate(coming)}

    def give_back(
        self, step: int, gradients: Mapping[int, tuple[Tensor, Tensor]], key: Tensor, value: Tensor
    ) -> dict[int, tuple[Tensor, Tensor]]:
        """Send what the chunks of `receive(step)` gained to their owner; return what own chunks gained, by half."""
        ranks, me = self.zigzag.ranks, self.rank
        if not step:
            return {self.zigzag.chunks(me).index(chunk): gained for chunk, gained in gradients.items()}
        owner, user = (me - step) % ranks, (me + step) % ranks
        sent = [x for chunk in self.zigzag.needed(self.scheme, me, owner) for x in gradients[chunk]]
        own = self.zigzag.chunks(me)
        halves = [own.index(chunk) for chunk in self.zigzag.needed(self.scheme, user, me)]
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


class _RingAttention(torch.autograd.Function):
    """The parts of a process, merged; what is kept for the backward pass is of the size of its own tokens."""

    @staticmethod
    def forward(ctx, ring: Ring, scale: float, names: tuple[str, ...], query, key, value, *numbers):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Merge the parts, step by step."""
        weights = dict(zip(names, numbers, strict=True))
        dtype = torch.promote_types(query.dtype, torch.float32)
        out = query.new_zeros(*query.shape[:3], value.shape[-1], dtype=dtype)
        lse = query.new_full(query.shape[:3], -torch.inf, dtype=dtype)
        for step in range(ring.zigzag.ranks):
            held = ring.receive(step, key, value)
            for half, chunk in ring.parts(step):
                rows = ring.rows(half)
                part, part_lse = ring.part(query[:, :, rows], *held[chunk], weights, scale, half, chunk)
                total = torch.logaddexp(lse[:, :, rows], part_lse)
                out[:, :, rows] = torch.lerp(out[:, :, rows], part.to(dtype), share_of(part_lse, total))
                lse[:, :, rows] = total
        logit = ring.logit(query, weights)
        if logit is not None:
            total = torch.logaddexp(lse, logit[:, None].to(dtype))
            out *= share_of(lse, total)
            lse = total
        ctx.ring, ctx.scale, ctx.names = ring, scale, names
        ctx.save_for_backward(query, key, value, out, lse, *numbers)
        return out.to(query.dtype)

    @staticmethod
    def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute each part again, with the share that it has of the whole."""
        ring, scale, names = ctx.ring, ctx.scale, ctx.names
        query, key, value, out, lse, *numbers = ctx.saved_tensors
        gradient = gradient.to(out.dtype)
        sums = [torch.zeros_like(x, dtype=out.dtype) for x in (query, key, value, *numbers)]
        for step in range(ring.zigzag.ranks):
            held = ring.receive(step, key, value)
            gained: dict[int, tuple[Tensor, Tensor]] = {}
            for half, chunk in ring.parts(step):
                rows = ring.rows(half)
                leaves = [x.detach().requires_grad_() for x in (query[:, :, rows], *held[chunk], *numbers)]
                with torch.enable_grad():
                    weights = dict(zip(names, leaves[3:], strict=True))
                    part, part_lse = ring.part(*leaves[:3], weights, scale, half, chunk)
                share, own = share_of(part_lse.detach(), lse[:, :, rows]), gradient[:, :, rows]
                along = (own * (part.detach().to(own.dtype) - out[:, :, rows])).sum(-1)
                into = [(share * own).to(part.dtype), (share[..., 0] * along).to(part_lse.dtype)]
                found = torch.autograd.grad([part, part_lse], leaves, into, allow_unused=True)
                sums[0][:, :, rows] += found[0]
                _add(sums[3:], found[3:])
                before = gained.get(chunk, (0.0, 0.0))
                gained[chunk] = found[1] + before[0], found[2] + before[1]
            for half, grown in ring.give_back(step, gained, key, value).items():
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
        return None, None, None, *(total.to(x.dtype) for total, x in zip(sums, given, strict=True))


def _add(sums: Sequence[Tensor], found: Sequence[Tensor | None]) -> None:
    for total, own in zip(sums, found, strict=True):
        if own is not None:
            total += own
