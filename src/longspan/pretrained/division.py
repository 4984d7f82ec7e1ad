"""Dividing the work: what the model's own rotary modules do, and what remains for its attention layers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from longspan.compute.decoding.frame import UNROTATED, Frame, shared_frame
from longspan.distance.true import TrueDistance
from longspan.errors import RefusalError
from longspan.mask.all import All
from longspan.mask.bidirectional import Bidirectional
from longspan.mask.window import Window
from longspan.plan import Plan
from longspan.position_map import Identity, PositionMap
from longspan.pretrained.anatomy.config import rope_origin
from longspan.pretrained.anatomy.layers import Anatomy, Layer
from longspan.pretrained.resolve import names_rotation
from longspan.pretrained.running.rotary import Source
from longspan.rotation.nope import NoPE
from longspan.scheme import Scheme
from longspan.slots import Rotation


@dataclass(frozen=True, eq=False)
class Work:
    """What rotary modules and attention layers do.

    Arguments:
        frames: how keys are rotated before they are cached, for each source that does not do what the plain model does.
        remaining: for each attention layer, what it does on queries and keys as the cache holds them; None where its
            own function does all.
    """

    frames: Mapping[Source, Frame]
    remaining: tuple[Scheme | None, ...]

    @property
    def stock(self) -> bool:
        """Whether every attention layer calls its own function."""
        return all(scheme is None for scheme in self.remaining)

    @property
    def pairwise(self) -> bool:
        """Whether an attention layer's work depends on positions, so that it must know the position of each token."""
        return any(scheme is not None and sees_positions(scheme) for scheme in self.remaining)

    @property
    def rotations(self) -> dict[Source, Rotation]:
        """The sources that do the whole rotation, with other frequencies than their own."""
        return {source: each.rotation for source, each in self.frames.items() if each.rotation and each.true}

    def mapped_position(self, layer: Layer) -> PositionMap | None:
        """Return the mapped position that a layer's keys are rotated to when they come; None for unrotated keys."""
        if layer.source is None:
            return None
        found = self.frames.get(layer.source)
        if found is None:
            return Identity()
        return found.position if found.rotation else None

    def cache_frame(self, sources: tuple[Source, ...]) -> Any:
        """Return what the keys in a cache depend on; None where a plain model's cache is the same."""
        return tuple(self.frames.get(source) for source in sources) if self.frames else None

    def changes_attention(self, anatomy: Anatomy) -> bool:
        """Return whether a layer does more than call its own function with its own mask.

        It does where that is faster, and in encoders: transformers keeps packed documents apart in causal models alone.
        """
        if not self.stock or any(layer.absorbs for layer in anatomy.layers):
            return True
        banded = any(layer.masks_band for layer in anatomy.layers)
        return not anatomy.own_masks and (banded or not anatomy.causal)


def divide(anatomy: Anatomy, plan: Plan) -> Work:
    """Return what a resolved plan means for each source and each layer.

    Errors: RefusalError where no layer sees everything, where the checkpoint changes its own frequencies with the
    length, and where attention would have to do what only the model can.
    """
    if anatomy.layers and all(layer.local_size for layer in anatomy.layers):
        raise RefusalError("every attention layer of this model has a sliding window: there is nothing to extend")
    depth = len(anatomy.layers)
    schemes = [_scheme_of(layer, plan.layer(i, depth)) for i, layer in enumerate(anatomy.layers)]
    for i in _fixed_beside(anatomy, plan):
        schemes[i] = replace(schemes[i], rotation=_own_rotation(anatomy, anatomy.layers[i]))
    frames = {}
    for source in anatomy.sources():
        users = [i for i, layer in enumerate(anatomy.layers) if layer.source == source]
        found = shared_frame([schemes[i] for i in users])
        if found.rotation and not _can_rotate(source, found.rotation, [anatomy.layers[i] for i in users]):
            found = UNROTATED
        if found != Frame(anatomy.layers[users[0]].spectrum()):
            frames[source] = found
        if not found.true or not all(schemes[i].distance.is_true for i in users):
            _check_known([anatomy.layers[i] for i in users])
            _check_fixed(source, all(names_rotation(plan.layer(i, depth)) for i in users))
    _check_rotating(anatomy, plan)
    remaining = tuple(
        _remaining(layer, scheme, frames.get(layer.source) if layer.source else None)
        for layer, scheme in zip(anatomy.layers, schemes, strict=True)
    )
    work = Work(frames, remaining)
    if any(scheme.memory and layer.latent for layer, scheme in zip(anatomy.layers, schemes, strict=True)):
        raise RefusalError("this model caches latents, which are small already: a memory is for keys and values")
    if anatomy.own_masks and not work.stock:
        raise RefusalError(
            "this model works on its masks itself (sparse attention), which hides the places of tokens: "
            "only other fixed frequencies (linear, ntk, yarn, longrope, llama3) can be put on it"
        )
    return work


def plain_work(anatomy: Anatomy, work: Work) -> Work:
    """Return the work of the same machinery when it does what the model does by itself.

    Where attention layers rotate, but only from true positions, keys come unrotated, so that something is rotated.
    """
    frames = {}
    for layer, scheme in zip(anatomy.layers, work.remaining, strict=True):
        if layer.source is not None and scheme is not None and rotates(scheme):
            found = work.frames.get(layer.source, UNROTATED)
            moved = found.rotation is not None and not found.true
            frames[layer.source] = replace(found, rotation=layer.spectrum()) if moved else UNROTATED
    remaining = tuple(  # a layer that shares its source with one that rotates must rotate as well
        own_scheme(layer) if layer.source in frames else scheme and without_rotation(layer)
        for layer, scheme in zip(anatomy.layers, work.remaining, strict=True)
    )
    return Work(frames, remaining)


def rotates(remaining: Scheme) -> bool:
    """Return whether attention rotates queries and keys under what remains for it."""
    return remaining.rotation != NoPE()


def sees_positions(remaining: Scheme) -> bool:
    """Return whether what remains for attention depends on positions, and not on the order of tokens alone."""
    return rotates(remaining) or remaining.bias is not None or remaining.reweight is not None


def own_scheme(layer: Layer) -> Scheme:
    """Return the scheme of what a layer does by itself."""
    mask = Window(size=layer.local_size) if layer.local_size else All()
    return Scheme(rotation=layer.spectrum() or NoPE(), direction=layer.direction, mask=mask)


def without_rotation(layer: Layer) -> Scheme:
    """Return the scheme of what a layer does by itself once queries and keys are rotated."""
    return replace(own_scheme(layer), rotation=NoPE())


def _scheme_of(layer: Layer, resolved: Scheme) -> Scheme:
    """Return what a layer has to do: a sliding layer stays as it is, and one without rotation remains without."""
    spectrum = layer.spectrum()
    if layer.local_size is not None:
        return own_scheme(layer)
    if not layer.causal and resolved.direction.causal:
        resolved = _in_both_directions(resolved)
    if spectrum is None or layer.layout is None or resolved.rotation == NoPE():
        return replace(resolved, rotation=NoPE(), distance=TrueDistance(), memory=None)
    rotation = layer.layout.fit(resolved.rotation) if names_rotation(resolved) else spectrum
    return replace(resolved, rotation=rotation)


def _fixed_beside(anatomy: Anatomy, plan: Plan) -> list[int]:
    """Return sliding layers that another layer keeps from following the length: it rotates otherwise, and their rotary
    module, which rotates for both, does not change its frequencies any more.
    """
    depth, layers = len(anatomy.layers), anatomy.layers
    named = {
        layers[i].source for i in range(depth) if not layers[i].local_size and names_rotation(plan.layer(i, depth))
    }
    return [i for i, each in enumerate(layers) if each.local_size and each.source in named and _follows_length(each)]


def _follows_length(layer: Layer) -> bool:
    return layer.source is not None and layer.source.follows_length


def _own_rotation(anatomy: Anatomy, layer: Layer) -> Rotation:
    """Return the checkpoint's own rotation, which follows the length; buffers hold what the last call has left."""
    assert layer.source is not None
    start = rope_origin(anatomy.base.config, layer.source.layer_type)
    if start.own is None or layer.layout is None or (start.own.causal_only and not layer.causal):
        raise RefusalError(
            f"sliding layers of this checkpoint change their frequencies with the length ({layer.source.kind}) in a "
            "way that longspan cannot follow: no other rotation can be put beside it"
        )
    return layer.layout.fit(start.own)


def _in_both_directions(scheme: Scheme) -> Scheme:
    for part in (scheme.rotation, scheme.distance):
        if part.causal_only:
            raise RefusalError(f"{part.name} is causal only, and this model sees later tokens: leave it out")
    return replace(scheme, direction=Bidirectional())


def _remaining(layer: Layer, scheme: Scheme, frame: Frame | None) -> Scheme | None:
    if scheme.distance.is_true and (frame is None or frame.true):
        scheme = replace(scheme, rotation=NoPE())
    return None if scheme == without_rotation(layer) else scheme


def _can_rotate(source: Source, rotation: Rotation, users: list[Layer]) -> bool:
    """Return whether the model's own module can rotate in this way."""
    if rotation == NoPE() or rotation.decays or rotation.num_axes > 1:
        return False
    alone = rotation == users[0].spectrum() or all(layer.steerable for layer in users)
    lasting = rotation.gain == source.gain or all(layer.gains and not layer.opaque for layer in users)
    return source.holds(rotation.gain) and alone and lasting


def _check_known(layers: list[Layer]) -> None:
    """Attention can rotate queries and keys only in a known layout."""
    for layer in layers:
        if layer.opaque:
            raise RefusalError(
                f"{type(layer.module).__name__} rotates its channels in a way that none of the known layouts explains: "
                "only masks, log_length and other fixed frequencies without a gain can be put on it"
            )


def _check_rotating(anatomy: Anatomy, plan: Plan) -> None:
    """A rotation or a distance needs a layer on which it can act."""
    depth, far = len(anatomy.layers), [i for i, layer in enumerate(anatomy.layers) if not layer.local_size]
    schemes = [plan.layer(i, depth) for i in far]
    if any(anatomy.layers[i].source for i in far):
        return
    if any(names_rotation(scheme) or not scheme.distance.is_true for scheme in schemes):
        raise RefusalError(
            "the layers of this model that see everything do not rotate with position, and its other layers see only a "
            "window: there are no distances to change, and only masks and log_length act on it"
        )


def _check_fixed(source: Source, named: bool) -> None:
    if source.follows_length and not named:
        raise RefusalError(
            f"this checkpoint changes its own frequencies with the length of the call ({source.kind}), which no cache "
            "can follow: name the rotation as well, as in 'longrope + rerope' or 'dynamic_ntk + rerope', which follow "
            "the length of each row with the checkpoint's own numbers"
        )
