"""Dividing the work: what the model's own rotary modules do, and what is left to the attention layers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from longspan.compute.decoding.frame import UNROTATED as UNTURNED
from longspan.compute.decoding.frame import Frame as Standing
from longspan.compute.decoding.frame import shared_frame as standing
from longspan.distance.true import TrueDistance
from longspan.errors import RefusalError
from longspan.mask.all import All
from longspan.mask.window import Window
from longspan.plan import Plan
from longspan.position_map import Identity, PositionMap
from longspan.pretrained.anatomy.probe import Anatomy, Layer
from longspan.pretrained.resolve import fitted, names_rotation
from longspan.pretrained.running.rotary import Source
from longspan.rotation.nope import NoPE
from longspan.scheme import Scheme
from longspan.slots import Rotation


@dataclass(frozen=True, eq=False)
class Work:
    """Who does what.

    Arguments:
        standings: of the sources whose keys stand otherwise than the plain model's.
        rests: what is left to each attention layer on queries and keys as the cache holds them; None where its own
            function does all.
    """

    standings: Mapping[Source, Standing]
    rests: tuple[Scheme | None, ...]

    @property
    def stock(self) -> bool:
        """Whether every attention layer calls its own function."""
        return all(rest is None for rest in self.rests)

    @property
    def pairwise(self) -> bool:
        """Whether an attention layer turns queries and keys, so that it must know where each token stands."""
        return any(rest is not None and turns(rest) for rest in self.rests)

    @property
    def rotations(self) -> dict[Source, Rotation]:
        """Sources that do all the turning, with other frequencies than their own."""
        return {source: each.rotation for source, each in self.standings.items() if each.rotation and each.true}

    def told(self, layer: Layer) -> PositionMap | None:
        """Where a layer's queries and keys are turned to before they come; None where they come unturned."""
        if layer.source is None:
            return None
        found = self.standings.get(layer.source)
        if found is None:
            return Identity()
        return found.position if found.rotation else None

    def frame(self, sources: tuple[Source, ...]) -> Any:
        """What keys in the cache depend on; None where a plain model's cache is the same."""
        return tuple(self.standings.get(source) for source in sources) if self.standings else None


def divide(anatomy: Anatomy, plan: Plan) -> Work:
    """What a closed plan means for each source and each layer.

    Errors: RefusalError where no layer sees far, and where the checkpoint changes its own frequencies with the length.
    """
    if all(layer.local_size for layer in anatomy.layers):
        raise RefusalError("every attention layer of this model has a sliding window: there is nothing to extend")
    depth = len(anatomy.layers)
    wanted = [_wanted(layer, plan.layer(i, depth)) for i, layer in enumerate(anatomy.layers)]
    standings = {}
    for source in anatomy.sources():
        users = [i for i, layer in enumerate(anatomy.layers) if layer.source == source]
        found = standing([wanted[i] for i in users])
        if found.rotation and not _can_turn(source, found.rotation, [anatomy.layers[i] for i in users]):
            found = UNTURNED
        if found != Standing(anatomy.layers[users[0]].spectrum()):
            standings[source] = found
        if not found.true or not all(wanted[i].distance.is_true for i in users):
            _check_known([anatomy.layers[i] for i in users])
            _check_fixed(source, all(names_rotation(plan.layer(i, depth)) for i in users))
    _check_turning(anatomy, plan)
    rests = tuple(
        _rest(layer, scheme, standings.get(layer.source) if layer.source else None)
        for layer, scheme in zip(anatomy.layers, wanted, strict=True)
    )
    work = Work(standings, rests)
    if anatomy.own_masks and not work.stock:
        raise RefusalError(
            "this model works on its masks itself (sparse attention), which hides where tokens stand: "
            "only other fixed frequencies (linear, ntk, yarn, longrope, llama3) can be put on it"
        )
    return work


def plainly(anatomy: Anatomy, work: Work) -> Work:
    """The same machinery doing what the model always did; what would turn nothing then comes unturned."""
    standings = {}
    for layer, rest in zip(anatomy.layers, work.rests, strict=True):
        if layer.source is not None and rest is not None and turns(rest):
            found = work.standings.get(layer.source, UNTURNED)
            moved = found.rotation is not None and not found.true
            standings[layer.source] = replace(found, rotation=layer.spectrum()) if moved else UNTURNED
    rests = tuple(  # a layer that shares a source with one that turns must turn by itself as well
        own(layer) if layer.source in standings else rest and unturned(layer)
        for layer, rest in zip(anatomy.layers, work.rests, strict=True)
    )
    return Work(standings, rests)


def turns(rest: Scheme) -> bool:
    """Whether attention turns queries and keys."""
    return rest.rotation != NoPE()


def own(layer: Layer) -> Scheme:
    """What a layer does by itself, said as a scheme."""
    mask = Window(size=layer.local_size) if layer.local_size else All()
    return Scheme(rotation=layer.spectrum() or NoPE(), mask=mask)


def unturned(layer: Layer) -> Scheme:
    """What a layer does by itself after the turning."""
    return replace(own(layer), rotation=NoPE())


def _wanted(layer: Layer, closed: Scheme) -> Scheme:
    """What a layer shall do: a sliding layer keeps its own ways, one that does not turn keeps not turning."""
    spectrum = layer.spectrum()
    if layer.local_size is not None:
        return own(layer)
    if spectrum is None or layer.layout is None:
        return replace(closed, rotation=NoPE(), distance=TrueDistance())
    rotation = fitted(closed.rotation, layer.layout) if names_rotation(closed) else spectrum
    return replace(closed, rotation=rotation)


def _rest(layer: Layer, scheme: Scheme, standing: Standing | None) -> Scheme | None:
    if scheme.distance.is_true and (standing is None or standing.true):
        scheme = replace(scheme, rotation=NoPE())
    return None if scheme == unturned(layer) else scheme


def _can_turn(source: Source, rotation: Rotation, users: list[Layer]) -> bool:
    """Whether the model's own module can turn like this."""
    alone = rotation == users[0].spectrum() or all(layer.steerable for layer in users)
    lasting = rotation.gain == source.gain or all(layer.gains and not layer.opaque for layer in users)
    return source.holds(rotation.gain) and alone and lasting


def _check_known(layers: list[Layer]) -> None:
    """Attention can turn queries and keys only in a layout that is known."""
    for layer in layers:
        if layer.opaque:
            raise RefusalError(
                f"{type(layer.module).__name__} turns its channels in a way that none of the known layouts explains: "
                "only masks, log_length and other fixed frequencies without a gain can be put on it"
            )


def _check_turning(anatomy: Anatomy, plan: Plan) -> None:
    """A rotation or a distance must have a layer to act on."""
    depth, far = len(anatomy.layers), [i for i, layer in enumerate(anatomy.layers) if not layer.local_size]
    asked = [plan.layer(i, depth) for i in far]
    if any(anatomy.layers[i].source for i in far):
        return
    if any(names_rotation(scheme) or not scheme.distance.is_true for scheme in asked):
        raise RefusalError(
            "the layers of this model that see everything do not turn with position, and those that turn see only a "
            "window: there are no distances to change, only masks and log_length act on it"
        )


def _check_fixed(source: Source, named: bool) -> None:
    if source.follows_length and not named:
        raise RefusalError(
            f"this checkpoint changes its own frequencies with the length of the call ({source.kind}), which no cache "
            "can follow: name the rotation as well, as in 'longrope + rerope' or 'dynamic_ntk + rerope', which follow "
            "the length of each row with the checkpoint's own numbers"
        )
