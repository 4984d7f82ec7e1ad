"""`attached`, `extend`, `detach`: put a scheme on a pretrained model, and take it off."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from longspan.errors import RefusalError
from longspan.geometry import Geometry
from longspan.notation import format_plan
from longspan.plan import Plan
from longspan.pretrained.anatomy.inspect import rope_origin, theta
from longspan.pretrained.anatomy.precise import in_float32
from longspan.pretrained.anatomy.probe import Anatomy, Layer, calm, probe, probe_tokens, swap_configs, token_outputs
from longspan.pretrained.anatomy.rescaling import Origin
from longspan.pretrained.division import Work, divide, plainly, turns, unturned
from longspan.pretrained.resolve import Target, close, fitted
from longspan.pretrained.running import temperature
from longspan.pretrained.running.attention import IMPLEMENTATION, LAYER, Extended, Stock
from longspan.pretrained.running.forward_pass import ForwardPasses
from longspan.pretrained.running.hooks import RotaryHook, TextModelHooks, WrapperHooks
from longspan.pretrained.running.rotary import InstalledRotation
from longspan.pretrained.running.temperature import Scaling
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme

ATTACHMENT = "longspan_attachment"
"""The attribute of an extended model that holds its `Attachment`."""
ALLOWED = {torch.float32: 1e-3, torch.float64: 1e-3, torch.bfloat16: 5e-2, torch.float16: 2e-2}
"""What plain rotation through our path may differ from the model, in units of its outputs' deviation.

Models are read in float32 for this wherever that is possible; the two last are for those where it is not.
"""

_Model = TypeVar("_Model", bound=nn.Module)


def extend(model: _Model, scheme: Plan | Scheme | str, *, length: int | None = None, backend: str = "auto") -> _Model:
    """Let a model attend under a scheme, until `detach`. The same model comes back.

    Arguments:
        model: a causal language model of transformers, or a wrapper of one (peft).
        scheme: as in "rerope(window=1024) + log_length"; a rotation that is not named is the model's own. A `Plan`
            gives layers different schemes.
        length: tokens to read; closes what the scheme leaves open, such as yarn's factor.
        backend: of `attend`.

    Errors: SchemeError and NotationError for a scheme that means nothing, RefusalError where this model cannot take it.
    """
    present = attachment_of(model)
    anatomy = present.anatomy if present else probe(model)
    # What a rotation starts from is read off the model itself, never off the extension that it carries.
    target = replace(present.target, length=length) if present else _target(anatomy, length)
    plan = close(scheme, target, len(anatomy.layers))
    if present is not None and (present.plan, present.backend) == (plan, backend):
        return model
    detach(model)
    try:
        work = divide(anatomy, plan)
        _self_test(model, anatomy, target, work, backend)
        attachment = Attachment(model, anatomy, target, plan, work, backend)
        attachment.install()
    except BaseException:
        if present is not None:
            present.install()
        raise
    return model


def detach(model: _Model) -> _Model:
    """Take the extension off; a model without one is left as it is."""
    attachment = attachment_of(model)
    if attachment is not None:
        attachment.remove()
    return model


@contextmanager
def attached(
    model: _Model, scheme: Plan | Scheme | str, *, length: int | None = None, backend: str = "auto"
) -> Iterator[_Model]:  # fmt: skip
    """`extend` for the time of a block; afterwards the model is what it was before, an earlier extension included."""
    before = attachment_of(model)
    extend(model, scheme, length=length, backend=backend)
    try:
        yield model
    finally:
        if attachment_of(model) is not before:
            detach(model)
            if before is not None:
                before.install()


def attachment_of(model: nn.Module) -> "Attachment | None":
    """The extension that a model carries."""
    return model.__dict__.get(ATTACHMENT)


class Attachment:
    """One plan on one model, and the way back.

    Arguments:
        target: what schemes on this model are closed for.
        plan: closed; `RoPE()` stands for the model's own rotation.
        work: who does what.
    """

    def __init__(
        self, model: nn.Module, anatomy: Anatomy, target: Target, plan: Plan, work: Work, backend: str
    ) -> None:
        self.model, self.anatomy, self.target, self.plan, self.work = model, anatomy, target, plan, work
        self.length, self.backend = target.length, backend
        self.passes = ForwardPasses(work.frame(anatomy.sources()), work.pairwise)
        self._hooks: list[RemovableHandle] = []
        self._installed: list[InstalledRotation | Scaling] = []
        self._configs: list[tuple[nn.Module, str, Any]] = []

    @property
    def text(self) -> str:
        """The plan as text."""
        return format_plan(self.plan)

    def install(self) -> None:
        """Change the model; on an error it is as before."""
        try:
            self._configs = swap_configs(self.model)
            self._install_sources()
            self._install_layers()
        except BaseException:
            self.remove()
            raise
        self.model.__dict__[ATTACHMENT] = self

    def remove(self) -> None:
        """Change the model back."""
        for hook in self._hooks:
            hook.remove()
        for installed in reversed(self._installed):
            installed.remove()
        for layer in self.anatomy.layers:
            layer.module.__dict__.pop(LAYER, None)
        for module, name, value in self._configs:
            module.__dict__[name] = value
        self._hooks, self._installed, self._configs = [], [], []
        self.model.__dict__.pop(ATTACHMENT, None)

    def _install_sources(self) -> None:
        base, work = self.anatomy.base, self.work
        for source, standing in work.standings.items():
            turned = standing.rotation
            frequencies = turned.frequencies(2 * len(source.frequencies)) if turned else None
            self._installed.append(source.install(frequencies, turned.gain if turned else 1.0))
        for index, layer in enumerate(self.anatomy.layers):
            rotation = self.plan.layer(index, len(self.anatomy.layers)).rotation
            if layer.source and not layer.local_size and rotation != RoPE():
                own = rope_origin(base.config, layer.source.layer_type).own
                if (changed := temperature.install(layer, own, rotation)) is not None:
                    self._installed.append(changed)
        self._install_hooks()

    def _install_hooks(self) -> None:
        base, standings = self.anatomy.base, self.work.standings
        for module in dict.fromkeys(source.module for source in self.anatomy.sources()):
            moved = {s: each.position for s, each in standings.items() if s.module is module and not each.true}
            mapped = {source.layer_type: position for source, position in moved.items()}
            self._hooks += RotaryHook(module, self.passes, mapped).install(module)
        if self.model is not base:
            self._hooks += WrapperHooks(self.model, self.passes).install(self.model)
        windows = [layer.local_size for layer in self.anatomy.layers if layer.local_size]
        self._hooks += TextModelHooks(base, self.passes, min(windows, default=None)).install(base)

    def _install_layers(self) -> None:
        if not _has_work(self.anatomy, self.work):
            return
        self.anatomy.base.config._attn_implementation_internal = IMPLEMENTATION
        shared: dict[object, Extended] = {}
        for layer, rest in zip(self.anatomy.layers, self.work.rests, strict=True):
            layer.config._attn_implementation_internal = IMPLEMENTATION
            does = None
            if rest is not None or layer.masks_band:
                left = rest or unturned(layer)
                layout, frame = (layer.layout, self.work.told(layer)) if turns(left) else (None, None)
                does = Extended(left, layout, frame, self.passes, self.backend)
                does = shared.setdefault((left, layout, frame), does)
            layer.module.__dict__[LAYER] = Stock(layer.implementation, does) if rest is None else does


def _target(anatomy: Anatomy, length: int | None) -> Target:
    """What a scheme on this model is closed for."""
    config = anatomy.base.config
    turning = [layer for layer in anatomy.layers if layer.layout]
    far = [layer for layer in turning if not layer.local_size] or turning
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
    return Target(geometry, layout, start, length, _unnamable(far, start, geometry.theta))


def _unnamable(far: list[Layer], start: Origin, theta: float | None) -> str | None:
    """Why no rotation can be named on a model: its own one is not what its config describes, or not one."""
    if theta is None:
        return "rescales rotary frequencies, and this model's config names no rope_theta"
    for layer in far:
        if start.own is None:
            return start.unknown(layer.source.kind if layer.source else "default")
        if layer.source and layer.layout and not layer.source.rotates_like(fitted(start.own, layer.layout)):
            return (
                "starts from the model's original frequencies, and this model does not rotate as its config says "
                f"(rope_type {layer.source.kind!r}, rope_theta {theta:g})"
            )
    return None


def _has_work(anatomy: Anatomy, work: Work) -> bool:
    """Whether attention layers do something else than calling their own functions with their own masks."""
    return not work.stock or (any(layer.masks_band for layer in anatomy.layers) and not anatomy.own_masks)


def _self_test(model: nn.Module, anatomy: Anatomy, target: Target, work: Work, backend: str) -> None:
    """Plain rotation through our path must be the model itself."""
    if not _has_work(anatomy, work):
        return
    tokens = probe_tokens(model, 2, 24)
    precise = nullcontext() if any("flash" in layer.implementation for layer in anatomy.layers) else in_float32(model)
    with calm(model), precise, torch.no_grad():
        real, before = _own_outputs(model, anatomy.base, tokens)
        plain = Attachment(
            model, anatomy, target, Plan.everywhere(Scheme(rotation=RoPE())), plainly(anatomy, work), backend
        )
        plain.install()
        try:
            after = token_outputs(model, anatomy.base, tokens, real.long())[real].float()
        finally:
            plain.remove()
        _compare(before, after, run_dtype(model))


def _own_outputs(model: nn.Module, base: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Which tokens are no padding, and the model's own outputs for those.

    Padding is left out where the model itself gives NaN beside it: eager attention masks float64 scores with a number
    that its softmax in float32 takes for −inf.
    """
    everything = torch.ones_like(tokens, dtype=torch.bool)
    padded = everything.clone()
    padded[1, :7] = False
    for real in (padded, everything):
        outputs = token_outputs(model, base, tokens, real.long())[real].float()
        if outputs.isfinite().all():
            return real, outputs
    return everything, outputs


def run_dtype(model: nn.Module) -> torch.dtype:
    """The type of a model's floating point weights."""
    return next((p.dtype for p in model.parameters() if p.dtype in ALLOWED), torch.float32)


def _compare(before: Tensor, after: Tensor, dtype: torch.dtype) -> None:
    difference = float((before - after).abs().max() / before.std())
    if not difference <= ALLOWED[dtype]:
        raise RefusalError(
            f"plain rotation through this path differs from the model by {difference:.1e} of its outputs' deviation "
            f"(allowed {ALLOWED[dtype]:.0e}): the model does something with positions that longspan does not know"
        )
