"""A design: the plan that a model is trained with, where every answer to every slot is allowed.

    model = LlamaForCausalLM(config)                   # untrained
    longspan.design(model, "alibi")                    # or "kerple_log", "nope", "xpos", "hwfa", "rope + key_norm" …
    longspan.design(model, "nope", absolute="sinusoidal")      # positions added to embeddings, or "learned"
    longspan.design(model, "tile('MMA', M=mamba, A=rope)")      # mixers in place of attention

Numbers that a part learns (KERPLE's, T5's, URPE's …) become parameters of each attention module, under the name
`longspan`, so that optimizers, `state_dict` and checkpoints know them like all others.

A model with a design is what later extensions start from: `extend(model, "rerope(256)")` replaces the design's answers
to the slots that are named, and `detach` gives the design back. Layers whose design sees only a window stay as they
are, as sliding layers of other models do.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from longspan.errors import RefusalError, SchemeError
from longspan.mask.all import All
from longspan.mask.window import Window
from longspan.normalizer.softmax import Softmax
from longspan.notation import format_scheme, parse_plan, parts, read_value
from longspan.plan import Plan
from longspan.pretrained.absolute import HIDDEN, SLOT, first_block
from longspan.pretrained.anatomy.layers import Anatomy, Layer
from longspan.pretrained.anatomy.sample_text import evaluating, run_text, sample_tokens
from longspan.pretrained.mixing import MixerModule, remove_feed_forward, replace_module
from longspan.pretrained.running.arguments import Arguments
from longspan.pretrained.running.learned import LEARNED, Learned
from longspan.pretrained.target import Target
from longspan.registry import registered
from longspan.rotation.nope import NoPE
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme
from longspan.slots import GatedUnit, Mixer, Part
from longspan.slots.absolute import Absolute

FIXED = ("qk_norm", "cap", "bias", "direction", "normalizer", "reweight", "scale")
"""Slots whose answers a trained model keeps."""

OWN_ANSWERS = {"softcap": "a cap", "s_aux": "attention sinks"}
"""What architectures give to attention themselves, by the name of the argument."""

SPREAD = 0.02
"""The standard deviation of embeddings at the start, where a config does not name it."""
MEASURED = 64
"""Tokens of the text on which is seen what a model makes of its embeddings before the first layer."""


def resolve_design(wanted: Plan | Scheme | Mixer | str, target: Target, num_layers: int) -> Plan:
    """Return the plan with its numbers filled in from the model that is going to be trained.

    `RoPE()` in it means the model's own rotation. A text without a rotation term means no rotation.

    Errors: NotationError and SchemeError for a plan that means nothing on this model.
    """
    geometry = target.geometry
    if isinstance(wanted, str):
        wanted = parse_plan(wanted, geometry, None, num_layers)
    plan = wanted if isinstance(wanted, Plan) else Plan.everywhere(wanted)
    plan.at(0, num_layers)  # raises where the plan is made for another depth
    plan = plan.fill(geometry, geometry.trained_length)
    layers = (each if isinstance(each, Mixer) else _own_rotation(each, target) for each in plan.layers)
    return replace(plan, layers=tuple(layers))


def check_direction(anatomy: Anatomy, plan: Plan) -> None:
    """Refuse a plan whose layers see less than the architecture's own.

    Errors: RefusalError for a mixer or a causal scheme in an encoder.
    """
    for index, layer in enumerate(anatomy.layers):
        answer = plan.at(index, len(anatomy.layers))
        if layer.causal:
            continue
        if isinstance(answer, Mixer):
            raise RefusalError(
                f"{answer.name} reads from left to right, and {type(anatomy.base).__name__} sees later tokens: take a "
                "causal architecture, such as llama"
            )
        if answer.direction.causal:
            raise RefusalError(
                f"{type(anatomy.base).__name__} sees later tokens, as encoders do: add ' + bidirectional' to the plan"
            )


def check_kept(anatomy: Anatomy, plan: Plan) -> None:
    """Refuse a plan that a layer would not follow, because its architecture answers the slot itself.

    Errors: RefusalError for a sliding layer that is given more than its own rotation, for another rotation or a
    distance on a layer that does not rotate, and for a cap or a normalizer where the architecture has its own.
    """
    for index, layer in enumerate(anatomy.layers):
        scheme = plan.at(index, len(anatomy.layers))
        if isinstance(scheme, Scheme) and (reason := _overridden(layer, scheme)) is not None:
            raise RefusalError(
                f"layer {index} of {type(anatomy.base).__name__} {reason}; an architecture such as llama takes any plan"
            )


def _overridden(layer: Layer, scheme: Scheme) -> str | None:
    """Return why a layer would not follow a scheme; None where it would."""
    mask, text = scheme.mask, format_scheme(scheme)
    if layer.local_size is not None:
        own = Scheme(rotation=RoPE() if layer.source else NoPE(), direction=layer.direction)
        wide = mask == All() or (isinstance(mask, Window) and mask.known(mask.size, "size") >= layer.local_size)
        if replace(scheme, mask=All()) == own and wide:
            return None
        return (
            f"sees a window of {layer.local_size} tokens and keeps what its architecture does there, so that {text} "
            f"would not reach it: give such layers {format_scheme(own)}"
        )
    if layer.source is None and (scheme.rotation not in (RoPE(), NoPE()) or not scheme.distance.is_true):
        return f"does not rotate, so that {text} would not reach it: give such layers nope"
    for argument, part, plain in (
        ("softcap", scheme.cap, None),
        ("s_aux", scheme.normalizer, Softmax()),
    ):
        if part is not None and part != plain and argument in layer.answers:
            return f"has {OWN_ANSWERS[argument]} of its own, which would take the place of {part.name}: leave it out"
    return None


def _own_rotation(scheme: Scheme, target: Target) -> Scheme:
    """Let `RoPE()` be the model's own rotation, and rotate its channels alone."""
    rotation = scheme.rotation
    if rotation == NoPE():
        return scheme
    if rotation.num_axes > 1:
        raise SchemeError(f"{rotation.name} needs {rotation.num_axes} positions per token, and a text has one")
    fitted = target.layout.fit(rotation)
    own = target.layout.fit(RoPE(theta=target.geometry.theta))
    return replace(scheme, rotation=RoPE() if fitted == own else fitted)


def resolve_absolute(wanted: Absolute | str | None, anatomy: Anatomy, trained_length: int) -> Absolute | None:
    """Return what is added to embeddings with its numbers filled in from the model that is going to be trained.

    Errors: NotationError and SchemeError for a text that means nothing.
    """
    if isinstance(wanted, str):
        wanted = read_absolute(wanted)
    if wanted is None:
        return None
    return wanted.fill(trained_length, _spread(anatomy) if getattr(wanted, "spread", SPREAD) is None else SPREAD)


@torch.no_grad()
def _spread(anatomy: Anatomy) -> float:
    """The standard deviation of what the first layer receives: embeddings, and whatever the model makes of them."""
    base: Any = anatomy.base
    block, received = first_block(anatomy), list[Tensor]()
    arguments = Arguments(block)
    hook = block.register_forward_pre_hook(
        lambda _, args, kwargs: received.append(arguments.get(HIDDEN, args, kwargs)), with_kwargs=True
    )
    try:
        with evaluating(base):
            run_text(base, ids := sample_tokens(base, 1, MEASURED))
    finally:
        hook.remove()
    own = float(getattr(base.config, "initializer_range", None) or SPREAD)
    embedded = base.get_input_embeddings().weight[ids]
    if torch.equal(received[0], embedded):
        return own
    return float(f"{own * float(received[0].std() / embedded.std()):.6g}")


def read_absolute(text: str) -> Absolute:
    """Return the encoding that a text names, as in "sinusoidal" or "learned(length=512)".

    Errors: NotationError and SchemeError for a text that means nothing.
    """
    return read_value(text, registered("longspan.absolute", Absolute), "absolute encoding")


def add_learned(anatomy: Anatomy, plan: Plan, absolute: Absolute | None, seed: int) -> None:
    """Register what a design learns: a scheme on its attention module, positions on the first layer."""
    generator = torch.Generator().manual_seed(seed)
    rotating = next(layer.layout for layer in anatomy.layers if layer.layout is not None)  # the probe found one
    for index, layer in enumerate(anatomy.layers):
        scheme = plan.at(index, len(anatomy.layers))
        if isinstance(scheme, Mixer):
            put_mixer(anatomy, layer, index, scheme, generator)
            continue
        layout = layer.layout or rotating  # a layer that does not rotate has heads as wide as those that do
        if weights := scheme.initial_weights(layer.num_heads, layout.head_dim, generator):
            layer.module.add_module(LEARNED, Learned(weights))
    if absolute is not None:
        width = anatomy.base.config.get_text_config(decoder=True).hidden_size
        absolute.vectors(torch.zeros(1, dtype=torch.long), width, own := absolute.initial_weights(width, generator))
        if own:
            weights = {f"{SLOT}.{name}": value for name, value in own.items()}
            first_block(anatomy).add_module(LEARNED, Learned(weights))


def put_mixer(anatomy: Anatomy, layer: Layer, index: int, mixer: Mixer, generator: torch.Generator) -> None:
    """Put a mixer in the place of an attention module; its learned numbers have the type of the module's weights.

    Errors: RefusalError for a model whose attention modules do not have the arguments of Llama's, and for a layer whose
    channels its heads do not divide.
    """
    hidden, heads = anatomy.base.config.get_text_config(decoder=True).hidden_size, layer.num_heads
    if hidden % heads:
        raise RefusalError(f"{mixer.name} needs channels that heads divide: {heads} heads do not divide {hidden}")
    own = next(layer.module.parameters())
    weights = {
        name: value.to(device=own.device, dtype=own.dtype)
        for name, value in mixer.initial_weights(heads, hidden // heads, generator).items()
    }
    block = replace_module(anatomy.base, layer.module, MixerModule(mixer, weights, index))
    if isinstance(mixer, GatedUnit) and not mixer.feed_forward:
        remove_feed_forward(block, mixer, hidden)


def replace_answers(design: Plan, wanted: Plan | Scheme | str, target: Target, num_layers: int) -> Plan:
    """Return a design with the answers that a text, a scheme or a plan names in the place of its own.

    Arguments:
        target: with the tokens to read, from which open fields are filled.

    Errors: RefusalError for an answer that the model would have to be trained with.
    """
    length = target.geometry.trained_length if target.length is None else target.length
    layers = [design.layer(index, num_layers) for index in range(num_layers)]
    if isinstance(wanted, str):
        plan = parse_plan(wanted, target.geometry, length, num_layers)
        whole = len(plan.schemes) > 1 or plan.num_layers is not None
        named = [
            _named(plan.layer(i, num_layers)) if whole else parts(wanted, target.geometry) for i in range(num_layers)
        ]
    elif isinstance(wanted, Scheme):
        named = [_named(wanted)] * num_layers
    else:
        named = [_named(wanted.layer(index, num_layers)) for index in range(num_layers)]
    if all(scheme.mask != All() for scheme in layers):
        raise RefusalError(
            "every layer of this model was trained to see a part of the text: there is nothing to extend"
        )
    answers = sorted({part.name for some in named for part in some if part.slot in ("rotation", "distance")})
    if answers and not any(scheme.rotation != NoPE() and scheme.mask == All() for scheme in layers):
        raise RefusalError(
            f"no layer of this model both rotates and sees the whole text, so that {', '.join(answers)} has nothing to "
            "act on: leave it out"
        )
    merged = [_merged(scheme, some, target, length) for scheme, some in zip(layers, named, strict=True)]
    return Plan.per_layer(merged) if len(set(merged)) > 1 else Plan.everywhere(merged[0])


def _named(scheme: Scheme) -> tuple[Part, ...]:
    """The answers of a scheme that are not those of an empty one."""
    empty = Scheme(scale=scheme.default_scale)
    return tuple(part for part in scheme.parts() if part != getattr(empty, part.slot))


def _merged(own: Scheme, named: tuple[Part, ...], target: Target, length: int) -> Scheme:
    answers = {part.slot: part.fill(target.geometry, length) for part in named}
    for slot in FIXED:
        if slot in answers and answers[slot] != getattr(own, slot):
            raise RefusalError(
                f"{answers[slot].name} needs training, and this model was trained without it: leave it out"
            )
    for part in answers.values():
        if part.initial_weights(1, 2) and part != getattr(own, part.slot):
            raise RefusalError(f"{part.name} needs training, because it has numbers to learn: leave it out")
    if own.mask != All():
        return own
    if own.rotation == NoPE():
        answers = {slot: part for slot, part in answers.items() if slot not in ("rotation", "distance")}
    merged = replace(own, **answers)
    return _own_rotation(merged, target)
