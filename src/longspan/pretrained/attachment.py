"""An attachment: one resolved plan on one model, and the way back."""

from typing import TYPE_CHECKING, Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from longspan.notation import format_plan
from longspan.plan import Plan
from longspan.pretrained.absolute import AbsoluteHook, first_block
from longspan.pretrained.anatomy.config import rope_origin
from longspan.pretrained.anatomy.layers import Anatomy, Layer
from longspan.pretrained.anatomy.private_configs import swap_configs
from longspan.pretrained.announced import AnnouncedLength
from longspan.pretrained.division import Work, rotates, without_rotation
from longspan.pretrained.latents.layer import InstalledHold, OnLatents
from longspan.pretrained.mixing import mixer_modules, num_mixers
from longspan.pretrained.running import temperature
from longspan.pretrained.running.attention import IMPLEMENTATION, LAYER, WATCHING, Extended, Stock
from longspan.pretrained.running.forward_pass import ForwardPasses
from longspan.pretrained.running.hooks import RotaryHook, TextModelHooks, WrapperHooks
from longspan.pretrained.running.rotary import InstalledRotation
from longspan.pretrained.running.temperature import Scaling
from longspan.pretrained.states.compressing import CacheHook, Compressing
from longspan.pretrained.target import Target
from longspan.rotation.rope import RoPE

if TYPE_CHECKING:
    from longspan.pretrained.storing.keeping import Keeping

ATTRIBUTE = "longspan_attachment"
"""The attribute of an extended model that holds its `Attachment`."""


class Attachment:
    """One plan on one model, and the way back.

    Arguments:
        target: what schemes on this model are resolved for.
        plan: resolved; `RoPE()` means the model's own rotation.
        work: what rotary modules and attention layers do.
        backend: the name of a backend of `attend`.
        tokenizer: the model's tokenizer, which then knows the longer length as well; None where it is not known.
    """

    def __init__(
        self,
        model: nn.Module,
        anatomy: Anatomy,
        target: Target,
        plan: Plan,
        work: Work,
        backend: str,
        tokenizer: Any = None,
    ) -> None:
        self.model, self.anatomy, self.target, self.plan, self.work = model, anatomy, target, plan, work
        self.length, self.backend, self.tokenizer = target.length, backend, tokenizer
        self.passes = ForwardPasses(work.cache_frame(anatomy.sources()), work.pairwise)
        self.announced: AnnouncedLength | None = None
        self._hooks: list[RemovableHandle] = []
        self._installed: list[InstalledRotation | Scaling | AnnouncedLength | InstalledHold | Keeping] = []
        self._configs: list[tuple[nn.Module, str, Any]] = []

    @property
    def text(self) -> str:
        """The plan as text."""
        return format_plan(self.plan)

    @property
    def depth(self) -> int:
        """The layers of the model, those that have a mixer as well."""
        return num_mixers(self.model) + len(self.anatomy.layers)

    def own_config(self, module: nn.Module) -> Any:
        """Return the config that a module of the model has without the extension."""
        return next(value for owner, name, value in self._configs if owner is module and name == "config")

    def install(self) -> None:
        """Change the model; after an error it is as it was before."""
        try:
            self._configs = swap_configs(self.model)
            self._install_rotations()
            self._install_temperatures()
            self._install_hooks()
            self._install_layers()
            self._announce_length()  # last: what comes before it reads the model's own length
            self._keep_when_saved()
        except BaseException:
            self.remove()
            raise
        self.model.__dict__[ATTRIBUTE] = self

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
        self.model.__dict__.pop(ATTRIBUTE, None)

    def _install_rotations(self) -> None:
        """Let rotary modules rotate with other frequencies."""
        for source, frame in self.work.frames.items():
            rotation = frame.rotation
            frequencies = rotation.frequencies(2 * len(source.frequencies)) if rotation else None
            self._installed.append(source.install(frequencies, rotation.gain if rotation else 1.0))

    def _install_temperatures(self) -> None:
        """Exchange the softmax scale of layers that took it from the rotation that is replaced."""
        attention = self.plan.attention(self.depth)
        for index, layer in enumerate(self.anatomy.layers):
            rotation = attention.layer(index, len(self.anatomy.layers)).rotation
            if layer.source and not layer.local_size and rotation != RoPE():
                own = rope_origin(self.anatomy.base.config, layer.source.layer_type).own
                if (changed := temperature.install(layer, own, rotation)) is not None:
                    self._installed.append(changed)

    def _install_hooks(self) -> None:
        base, frames = self.anatomy.base, self.work.frames
        for module in dict.fromkeys(source.module for source in self.anatomy.sources()):
            moved = {s: each.position for s, each in frames.items() if s.module is module and not each.true}
            mapped = {source.layer_type: position for source, position in moved.items()}
            self._hooks += RotaryHook(module, self.passes, mapped).install(module)
        if self.model is not base:
            self._hooks += WrapperHooks(self.model, self.passes).install(self.model)
        windows = [layer.local_size for layer in self.anatomy.layers if layer.local_size]
        packs = not self.anatomy.causal
        window, wrapper = min(windows, default=None), None if self.model is base else self.model
        hooks = TextModelHooks(base, self.passes, window, wrapper=wrapper, attends=self._attends(), packs=packs)
        self._hooks += hooks.install(base)
        if self.target.absolute is not None:
            block = first_block(self.anatomy)
            self._hooks += AbsoluteHook(block, self.target.absolute, self.passes).install(block)

    def _attends(self) -> dict[nn.Module, str]:
        """Return the implementation of attention by the modules whose configs name it; none where it stays."""
        if not self.work.changes_attention(self.anatomy) and not self.plan.mixers:
            return {}
        implementation = WATCHING if self.anatomy.own_masks else IMPLEMENTATION
        return dict.fromkeys((self.anatomy.base, *(layer.module for layer in self.anatomy.layers)), implementation)

    def _install_layers(self) -> None:
        """Let each attention layer do what remains for it; layers with the same work share one object."""
        for mixer in mixer_modules(self.model):
            mixer.passes = self.passes
        attends, own_masks = self._attends(), self.anatomy.own_masks
        if not attends:
            return
        for module, implementation in attends.items():
            module.__dict__["config"]._attn_implementation_internal = implementation
        shared: dict[object, Extended] = {}
        for layer, remaining in zip(self.anatomy.layers, self.work.remaining, strict=True):
            extended = None
            if remaining is not None or (layer.masks_band and not own_masks):
                scheme = remaining or without_rotation(layer)
                layout, frame = (layer.layout, self.work.mapped_position(layer)) if rotates(scheme) else (None, None)
                extended = Extended(scheme, layout, frame, self.passes, self.backend)
                extended = shared.setdefault((scheme, layout, frame), extended)
            passes = None if layer.causal else self.passes
            does = Stock(layer.implementation, extended, passes) if remaining is None else extended
            assert does is not None  # what remains is done by an extended layer
            layer.module.__dict__[LAYER] = self._on_its_cache(layer, does)

    def _on_its_cache(self, layer: Layer, does: Stock | Extended) -> Stock | Extended | Compressing | OnLatents:
        if isinstance(does, Extended) and does.scheme.memory:
            self._hooks += CacheHook(layer.module, does.scheme, self.passes).install(layer.module)
            return Compressing(does)
        if not layer.absorbs:
            return does
        assert layer.latent is not None
        self._installed.append(InstalledHold(layer.module).install())
        return OnLatents.of(does, layer.latent)

    def _announce_length(self) -> None:
        if self.length is not None:
            text = self.anatomy.base.config.get_text_config(decoder=True)
            self.announced = AnnouncedLength(self.model, text, self.length, self.tokenizer).install()
            self._installed.append(self.announced)

    def _keep_when_saved(self) -> None:
        """Let `save_pretrained` of the model, or of the model inside a wrapper, write the extension as well."""
        from longspan.pretrained.storing.keeping import Keeping  # it reads attachments

        self._installed.append(Keeping(self).install())


def attachment_of(model: nn.Module) -> Attachment | None:
    """Return the extension that a model carries; None where it carries none."""
    return model.__dict__.get(ATTRIBUTE)
