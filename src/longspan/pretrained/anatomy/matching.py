"""Matching: which source and which channel layout explain the rotation that was seen in the trial passes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from longspan.compute.rotate import rotate
from longspan.errors import RefusalError
from longspan.pretrained.anatomy.layers import Layer
from longspan.pretrained.anatomy.layout import ChannelLayout
from longspan.pretrained.anatomy.model_spectrum import ModelSpectrum
from longspan.pretrained.anatomy.trial import FAR, GROWN, NEAR, SLOWED, UNROTATED, Observation, QueryAndKey
from longspan.pretrained.latents.expansion import latent_widths
from longspan.pretrained.running.rotary import Source

TOLERANCE = {torch.float32: 2e-4, torch.float64: 2e-4, torch.bfloat16: 3e-2, torch.float16: 4e-3}
"""The relative difference up to which queries and keys count as equal."""


def layer_of(seen: Observation, sources: Mapping[Source, int]) -> Layer:
    """Return the layer that an observation shows.

    Arguments:
        sources: all sets of frequencies of the model, each with its number in `Setting.position_of`.

    Errors: RefusalError where no layout explains the rotation, and there are several sources to choose from.
    """
    query, key = unrotated = seen.passes[UNROTATED]
    layer = Layer(
        seen.module, None, None, seen.local_size, seen.implementation, query.shape[1], key.shape[1],
        latent=latent_widths(seen.module), causal=seen.causal, answers=seen.answers,
    )  # fmt: skip
    if all(_equal(seen.passes[setting], unrotated) for setting in (NEAR, FAR)):
        return layer
    steerable = _equal(seen.passes[SLOWED], seen.passes[NEAR])
    gains = not _equal(seen.passes[GROWN], seen.passes[NEAR])  # a normalization afterwards undoes a gain
    layer = replace(layer, steerable=steerable, gains=gains)
    candidates = [(s, layout) for s in sources for layout in layouts(s, query.shape[-1])]
    for source, layout in candidates:
        if _explains(source, layout, sources[source], seen):
            return replace(layer, source=source, layout=layout)
    if len(sources) == 1 and candidates:
        source, layout = candidates[0]
        return replace(layer, source=source, layout=layout, opaque=True)
    raise RefusalError(
        f"{type(seen.module).__name__} rotates its channels in a way that none of the known layouts explains: "
        "it cannot be extended"
    )


def layouts(source: Source, head_dim: int) -> Iterator[ChannelLayout]:
    """Yield all known layouts of a source's channel pairs in a head."""
    rotary_dim = 2 * len(source.frequencies)
    if rotary_dim > head_dim:
        return
    for last in (False, True) if rotary_dim < head_dim else (False,):
        for backward in (False, True):
            yield ChannelLayout("half", rotary_dim, head_dim, last, backward)
            yield ChannelLayout("interleaved", rotary_dim, head_dim, last, backward)


def _explains(source: Source, layout: ChannelLayout, index: int, seen: Observation) -> bool:
    own = tuple(source.frequencies.double().tolist())
    spectrum = ModelSpectrum(own=own, layout=layout.pairing, partial=layout.partial)  # the gain is in all passes
    for setting in (NEAR, FAR):
        position = setting.position_of(index)
        expected = (_rotated(x, spectrum, layout, position) for x in seen.passes[UNROTATED])
        if not _equal(seen.passes[setting], expected):
            return False
    return True


def _rotated(x: Tensor, spectrum: ModelSpectrum, layout: ChannelLayout, position: int) -> Tensor:
    positions = torch.full((1, x.shape[2], 1), position, device=x.device)
    return _in_order_of_heads(rotate(layout.arrange(x.float()), positions, spectrum.spectrum(x.shape[-1])), layout)


def _in_order_of_heads(x: Tensor, layout: ChannelLayout) -> Tensor:
    """Undo `ChannelLayout.arrange`."""
    order = layout.arrange(torch.arange(x.shape[-1], device=x.device).float()).long()
    return torch.empty_like(x).index_copy(-1, order, x)


def _equal(pair: QueryAndKey, other: Iterable[Tensor]) -> bool:
    tolerance = TOLERANCE[pair[0].dtype]
    return all(
        float((a.float() - b.float()).abs().max()) <= tolerance * float(b.float().abs().max())
        for a, b in zip(pair, other, strict=True)
    )
