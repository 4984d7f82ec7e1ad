"""What a scheme is resolved for: a model's sizes, its rotating channels, its own rotation, and the tokens to read."""

from dataclasses import dataclass

from longspan.geometry import Geometry
from longspan.plan import Plan
from longspan.pretrained.anatomy.config import rope_origin, theta
from longspan.pretrained.anatomy.layers import Anatomy, Layer
from longspan.pretrained.anatomy.layout import ChannelLayout
from longspan.pretrained.anatomy.rescaling import Origin
from longspan.pretrained.linear import MonarchProjections
from longspan.slots.absolute import Absolute


@dataclass(frozen=True)
class Target:
    """What a scheme is resolved for.

    Arguments:
        geometry: sizes and trained length of the model.
        layout: the channels that rotate.
        origin: what a named rotation starts from.
        length: tokens to read; None where it is not given.
        refusal: why no rotation can be named; None where one can.
        design: the plan that the model was trained with; None where that is its architecture's own.
        absolute: what its design adds to embeddings; None where it adds nothing.
        linear: the projections that its design has; None for dense ones.
    """

    geometry: Geometry
    layout: ChannelLayout
    origin: Origin
    length: int | None = None
    refusal: str | None = None
    design: Plan | None = None
    absolute: Absolute | None = None
    linear: MonarchProjections | None = None


def target_of(anatomy: Anatomy, length: int | None) -> Target:
    """Return the target of a model: that of its first rotating layer that sees everything, if it has one.

    Arguments:
        length: tokens to read; None where it is not given.

    Errors: RefusalError where the model's config lacks a number.
    """
    config = anatomy.base.config
    rotating = [layer for layer in anatomy.layers if layer.layout]
    far = [layer for layer in rotating if not layer.local_size] or rotating
    layer, layout, source = far[0], far[0].layout, far[0].source
    assert layout is not None
    assert source is not None
    start = rope_origin(config, source.layer_type)
    geometry = Geometry(
        layer.num_heads,
        layer.num_kv_heads,
        layout.head_dim,
        start.trained_length,
        theta(config, source.layer_type),
        start.unscaled_length,
    )
    return Target(geometry, layout, start, length, _refusal(far, start, geometry.theta))


def _refusal(far: list[Layer], start: Origin, theta: float | None) -> str | None:
    """Return why no rotation can be named: the model does not rotate as its config describes, or that is not known."""
    if theta is None:
        return "rescales rotary frequencies, and this model's config names no rope_theta"
    for layer in far:
        if start.own is None:
            return start.unknown(layer.source.kind if layer.source else "default")
        if layer.source and layer.layout and not layer.source.rotates_like(layer.layout.fit(start.own)):
            return (
                "starts from the model's original frequencies, and this model does not rotate as its config says "
                f"(rope_type {layer.source.kind!r}, rope_theta {theta:g})"
            )
    return None
