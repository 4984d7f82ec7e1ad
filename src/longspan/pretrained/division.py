"""Dividing the work: what the model's own rotary modules do, and what is left to the attention layers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from longspan.distance.true import TrueDistance
from longspan.errors import RefusalError
from longspan.mask.all import All
from longspan.mask.window import Window
from longspan.plan import Plan
from longspan.pretrained.frame import Source
from longspan.pretrained.probe import Anatomy, Layer
from longspan.pretrained.wanted import fitted, names_rotation
from longspan.rotation.nope import NoPE
from longspan.scheme import Scheme
from longspan.slots import Rotation

FAR = 2**40
"""Longer than any call: a rotation with more than one segment up to here changes on the way."""


@dataclass(frozen=True, eq=False)
class Work:
    """Who does what.

    Arguments:
        unturned: sources in frame 0: they turn nothing, attention does.
        rotations: sources in frame p that turn with other frequencies than their own.
        rests: what is left to each attention layer on queries and keys as the cache holds them; None where its own
            function does all.
    """

    unturned: frozenset[Source]
    rotations: Mapping[Source, Rotation]
    rests: tuple[Scheme | None, ...]

    @property
    def stock(self) -> bool:
        """Whether every attention layer calls its own function."""
        return all(rest is None for rest in self.rests)

    def frame(self, sources: tuple[Source, ...]) -> Any:
        """What keys in the cache depend on; None where a plain model's cache is the same."""
        kinds = ["unturned" if source in self.unturned else self.rotations.get(source) for source in sources]
        return tuple(kinds) if any(kind is not None for kind in kinds) else None


def divide(anatomy: Anatomy, plan: Plan) -> Work:
    """What a closed plan means for each source and each layer.

    Errors: RefusalError where no layer sees far, and where the checkpoint changes its own frequencies with the length.
    """
    if all(layer.local_size for layer in anatomy.layers):
        raise RefusalError("every attention layer of this model has a sliding window: there is nothing to extend")
    depth = len(anatomy.layers)
    wanted = [_wanted(layer, plan.layer(i, depth)) for i, layer in enumerate(anatomy.layers)]
    unturned, rotations = set(), {}
    for source in anatomy.sources():
        users = [i for i, layer in enumerate(anatomy.layers) if layer.source == source]
        if _pairwise(source, [wanted[i] for i in users]):
            unturned.add(source)
            _check_fixed(source, all(names_rotation(plan.layer(i, depth)) for i in users))
        elif wanted[users[0]].rotation != anatomy.layers[users[0]].spectrum():
            rotations[source] = wanted[users[0]].rotation
    _check_turning(anatomy, plan)
    rests = tuple(
        _rest(layer, scheme, layer.source in unturned) for layer, scheme in zip(anatomy.layers, wanted, strict=True)
    )
    work = Work(frozenset(unturned), rotations, rests)
    if anatomy.own_masks and not work.stock:
        raise RefusalError(
            "this model works on its masks itself (sparse attention), which hides where tokens stand: "
            "only other fixed frequencies (linear, ntk, yarn, longrope, llama3) can be put on it"
        )
    return work


def plainly(anatomy: Anatomy, work: Work) -> Work:
    """The same machinery doing what the model always did."""
    rests = tuple(
        rest and (own(layer) if layer.source in work.unturned else replace(own(layer), rotation=NoPE()))
        for layer, rest in zip(anatomy.layers, work.rests, strict=True)
    )
    return Work(work.unturned, {}, rests)


def own(layer: Layer) -> Scheme:
    """What a layer does by itself, said as a scheme."""
    mask = Window(size=layer.local_size) if layer.local_size else All()
    return Scheme(rotation=layer.spectrum() or NoPE(), mask=mask)


def _wanted(layer: Layer, closed: Scheme) -> Scheme:
    """What a layer shall do: a sliding layer keeps its own ways, one that does not turn keeps not turning."""
    spectrum = layer.spectrum()
    if layer.local_size is not None:
        return own(layer)
    if spectrum is None or layer.layout is None:
        return replace(closed, rotation=NoPE(), distance=TrueDistance())
    rotation = fitted(closed.rotation, layer.layout) if names_rotation(closed) else spectrum
    return replace(closed, rotation=rotation)


def _pairwise(source: Source, schemes: list[Scheme]) -> bool:
    """Whether a source must be in frame 0: said distances, frequencies that change on the way, layers that disagree."""
    return len({scheme.rotation for scheme in schemes}) > 1 or any(
        scheme.distance != TrueDistance() or len(scheme.rotation.segments(FAR)) > 1 for scheme in schemes
    )


def _rest(layer: Layer, scheme: Scheme, unturned: bool) -> Scheme | None:
    if not unturned:
        scheme = replace(scheme, rotation=NoPE())
    alone = replace(own(layer), rotation=NoPE())
    return None if scheme == alone else scheme


def _check_turning(anatomy: Anatomy, plan: Plan) -> None:
    """A rotation or a distance must have a layer to act on."""
    depth, far = len(anatomy.layers), [i for i, layer in enumerate(anatomy.layers) if not layer.local_size]
    asked = [plan.layer(i, depth) for i in far]
    if any(anatomy.layers[i].source for i in far):
        return
    if any(names_rotation(scheme) or scheme.distance != TrueDistance() for scheme in asked):
        raise RefusalError(
            "the layers of this model that see everything do not turn with position, and those that turn see only a "
            "window: there are no distances to change, only masks and log_length act on it"
        )


def _check_fixed(source: Source, named: bool) -> None:
    if source.follows_length and not named:
        raise RefusalError(
            f"this checkpoint changes its own frequencies with the length of the call ({source.kind}), which no cache "
            "can follow: name the rotation as well, as in 'longrope(...)', 'yarn' or 'rope'"
        )
