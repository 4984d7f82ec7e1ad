"""Context parallelism: the attention layers of a model attend over sequences that processes share.

Everything else of a Transformer sees one token at a time, so that a process computes it for its own tokens alone. A
trial on a short text shows before the first step whether that is true of an architecture.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor, nn
from torch.nn.functional import pad

from longspan.compute.places import PADDING, Places
from longspan.compute.ring.ring import Ring
from longspan.compute.ring.sequence import Shared
from longspan.compute.ring.zigzag import Zigzag
from longspan.errors import RefusalError
from longspan.pretrained.anatomy.layers import Layer
from longspan.pretrained.attachment import Attachment, attachment_of
from longspan.pretrained.division import rotates, without_rotation
from longspan.pretrained.running.attention import IMPLEMENTATION, LAYER, AttentionOutput, Extended
from longspan.scheme import Scheme
from longspan.train.data.batch import Batch
from longspan.train.forward import hidden_states, quiet
from longspan.train.processes.group import Processes

TRIED = 4
"""Tokens of each chunk of the text that an architecture is tried on."""
ALLOWED = 3e-5
"""The difference that rounding may make there, in standard deviations of the hidden states: an untrained layer changes
them little, and the trial runs in float32 on the CPU."""


class Sequences:
    """The sequences that this process shares with others.

    Arguments:
        processes: of the run.
    """

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.bytes_sent = {"forward": 0, "backward": 0}
        self._current: Shared | None = None

    @property
    def current(self) -> Shared:
        """The places of the sequence that the model reads now."""
        assert self._current is not None
        return self._current

    @property
    def rank(self) -> int:
        """This process among those that share a sequence."""
        return self.processes.rank % self.processes.context

    def own(
        self, batch: Batch, positions: Shaped[Tensor, "1 tokens"] | None
    ) -> tuple[Batch, Shaped[Tensor, "_ tokens"]]:
        """Return this process's tokens of some rows and their positions; attention layers know the others' from now on.

        Arguments:
            positions: that all rows are given; None to count their tokens.
        """
        chunks = 2 * self.processes.context
        short = -batch.inputs.shape[1] % chunks
        batch = batch.of(lambda x: pad(x, (0, short)))  # nothing is asked there, and nothing real is after it
        zigzag = Zigzag(self.processes.context, batch.inputs.shape[1])
        given = None if positions is None else _longer(positions, short)
        places = places_of(batch, given)
        self._current = Shared(zigzag, places)
        orders = zigzag.orders(self.rank)
        mine = batch.of(lambda x: x[:, orders])
        return Batch(mine.inputs, mine.targets, mine.asked), places.coordinate[..., 0][:, orders]

    def attend(self, extended: Extended, module: nn.Module, *args: Any, **kwargs: Any) -> AttentionOutput:
        """Attend with this process's tokens."""
        query, key, value, mask = args
        given = extended.call(module, query, key, value, mask, **kwargs)
        ring = Ring(given.scheme, self.current.zigzag, self.processes.context_group, self.bytes_sent)
        numbers = {"scale": given.base_scale, "shared": self.current, "frame": extended.frame}
        out = ring.attend(given.query, given.key, given.value, given.weights, **numbers)
        return out.transpose(1, 2).contiguous(), None

    def share(self, model: Any) -> None:
        """Let all attention layers of a model attend over shared sequences, from now on.

        Errors: RefusalError for a design or an architecture that cannot.
        """
        attachment = attachment_of(model)
        assert attachment is not None
        if attachment.plan.mixers:
            raise _refusal(f"{attachment.plan.mixers[0].name} reads its tokens one after the other")
        if attachment.anatomy.own_masks or any(layer.absorbs for layer in attachment.anatomy.layers):
            raise _refusal(f"{type(model).__name__} has attention of its own")
        with quiet(model):
            self._try(model, attachment)

    def _try(self, model: Any, attachment: Attachment) -> None:
        """Share, if a short text has the same hidden states as without."""
        windows = [layer.local_size for layer in attachment.anatomy.layers if layer.local_size]
        chunks = 2 * self.processes.context
        least = max(TRIED * chunks, min(2 * max(windows, default=0), attachment.target.geometry.trained_length))
        count = least + -least % chunks
        ids = torch.randint(len(model.get_input_embeddings().weight), (1, count), generator=_generator())
        batch = Batch(ids, ids, torch.ones_like(ids, dtype=torch.bool))
        wanted = hidden_states(model, batch)[:, Zigzag(self.processes.context, count).orders(self.rank)]
        self._install(attachment)
        found = hidden_states(model, *self.own(batch, None))
        if not (found - wanted).abs().max() <= ALLOWED * wanted.std():
            raise _refusal(f"{type(model).__name__} lets tokens see each other outside of plain attention")
        self.bytes_sent.update(forward=0, backward=0)

    def _install(self, attachment: Attachment) -> None:
        anatomy, work = attachment.anatomy, attachment.work
        anatomy.base.config._attn_implementation_internal = IMPLEMENTATION
        for layer, remaining in zip(anatomy.layers, work.remaining, strict=True):
            layer.config._attn_implementation_internal = IMPLEMENTATION
            layer.module.__dict__[LAYER] = SharedLayer(self._extended(attachment, layer, remaining), self)

    def _extended(self, attachment: Attachment, layer: Layer, remaining: Scheme | None) -> Extended:
        scheme = remaining or without_rotation(layer)
        frame = attachment.work.mapped_position(layer) if rotates(scheme) else None
        return Extended(scheme, layer.layout if rotates(scheme) else None, frame, attachment.passes)


@dataclass(frozen=True, eq=False)
class SharedLayer:
    """An attention layer over shared sequences.

    Arguments:
        extended: what the layer does on whole ones.
        sequences: which part of them is this process's.
    """

    extended: Extended
    sequences: Sequences

    def __call__(self, module: nn.Module, *args: Any, **kwargs: Any) -> AttentionOutput:
        """Attend; transformers' attention interface calls this."""
        return self.sequences.attend(self.extended, module, *args, **kwargs)


def places_of(batch: Batch, positions: Shaped[Tensor, "1 tokens"] | None) -> Places:
    """Return where the tokens of some rows are: documents begin anew at position 0, and padding is in none.

    Arguments:
        positions: that all rows are given; None to count their tokens.
    """
    count = batch.inputs.shape[1]
    order = torch.arange(count)[None]
    document = torch.zeros_like(order)
    if batch.positions is not None:
        order, document = batch.positions, _numbered(batch.positions)
    if batch.real is not None:
        document = document.masked_fill(~batch.real, PADDING)
    return Places(order, (order if positions is None else positions)[..., None], document)


def _numbered(positions: Int64[Tensor, "rows tokens"]) -> Int64[Tensor, "rows tokens"]:
    return (positions.diff(dim=1, prepend=positions[:, :1]) < 1).long().cumsum(1) - 1


def _longer(positions: Shaped[Tensor, "1 tokens"], count: int) -> Shaped[Tensor, "1 longer"]:
    """Return positions with `count` more, which go on in steps of one."""
    return torch.cat([positions, positions[:, -1:] + torch.arange(1, count + 1)], 1)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _refusal(why: str) -> RefusalError:
    return RefusalError(f"processes cannot share a sequence: {why}; leave out parallel.context")
