"""`attached`, `extend`, `detach`: put a scheme on a model, and take it off. `design`: plan an untrained model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import PreTrainedConfig

from longspan.errors import InputError, RefusalError, shown
from longspan.plan import Plan
from longspan.pretrained.anatomy.config import is_encoder
from longspan.pretrained.anatomy.layers import Anatomy
from longspan.pretrained.anatomy.probe import probe
from longspan.pretrained.attachment import Attachment, attachment_of
from longspan.pretrained.design import add_learned, check_direction, check_kept, resolve_absolute, resolve_design
from longspan.pretrained.division import divide
from longspan.pretrained.linear import DENSE, put_structured, read_linear
from longspan.pretrained.mixing import num_mixers
from longspan.pretrained.resolve import resolve
from longspan.pretrained.self_test import check_plain_rotation
from longspan.pretrained.target import Target, target_of
from longspan.scheme import Scheme
from longspan.slots import Mixer
from longspan.slots.absolute import Absolute

_Model = TypeVar("_Model", bound=nn.Module)


def extend(
    model: _Model,
    scheme: Plan | Scheme | str,
    *,
    length: int | None = None,
    backend: str = "auto",
    tokenizer: Any = None,
) -> _Model:
    """Let a model attend under a scheme until `detach`; return the same model.

    Arguments:
        model: a causal language model or an encoder of transformers, or a wrapper of one (peft).
        scheme: as in "rerope(window=1024) + log_length". A rotation that is not named is the model's own. A `Plan`
            gives layers different schemes.
        length: tokens to read. It fills in what the scheme leaves open, such as yarn's factor. Until `detach`, the
            model's config and generation config name this length, where it is longer than their own.
        backend: the name of a backend of `attend`.
        tokenizer: the model's tokenizer, if it is to name the longer length too and not to warn about long texts.

    Errors: SchemeError and NotationError for a scheme that means nothing, RefusalError where this model cannot take it,
    or is no model; InputError for a length below 1. The model is then as it was before.
    """
    check_arguments(model, length)
    present = attachment_of(model)
    if present is not None and present.plan.mixers:
        present.plan.schemes  # noqa: B018  (it refuses)
    anatomy = present.anatomy if present else probe(model)
    # What a rotation starts from is read off the model itself, never off the extension that it carries.
    target = replace(present.target, length=length) if present else target_of(anatomy, length)
    plan = resolve(scheme, target, len(anatomy.layers))
    tokenizer = tokenizer if tokenizer is not None or present is None else present.tokenizer
    same = present is not None and (present.plan, present.backend, present.length) == (plan, backend, length)
    if present is not None and same and present.tokenizer is tokenizer:
        return model
    if present is not None:
        present.remove()
    try:
        work = divide(anatomy, plan)
        check_plain_rotation(model, anatomy, target, work, backend)
        Attachment(model, anatomy, target, plan, work, backend, tokenizer).install()
    except BaseException:
        if present is not None:
            present.install()
        raise
    return model


def check_arguments(model: object, length: object) -> None:
    """Check what somebody gives to `extend`.

    Errors: RefusalError for what is no model; InputError for a length that is no whole number above 0.
    """
    if not isinstance(model, nn.Module):
        raise RefusalError(
            f"extend takes a loaded model, got {shown(model)}: load and extend in one step with "
            "longspan.load(NAME, SCHEME, length=N)"
        )
    if length is not None and (not isinstance(length, int) or length < 1):
        raise InputError(f"length must be a whole number of tokens, at least 1, got {shown(length)}")


def detach(model: _Model) -> _Model:
    """Take the extension off a model; one without an extension stays as it is. Return the same model.

    A model that was trained with a design keeps the design.
    """
    attachment = attachment_of(model)
    if attachment is None:
        return model
    attachment.remove()
    if attachment.target.design is not None:
        _install_design(model, attachment.anatomy, replace(attachment.target, length=None), attachment.backend)
    return model


def design(
    model: _Model,
    plan: Plan | Scheme | Mixer | str,
    *,
    absolute: Absolute | str | None = None,
    linear: str = DENSE,
    seed: int = 0,
    backend: str = "auto",
) -> _Model:
    """Give an untrained model the plan that it is going to be trained with; return the same model.

    Every part of the catalogue is allowed, learned numbers included: they become parameters of the attention modules.
    A text means what it says: without a rotation term there is no rotation.

    Arguments:
        model: a language model of transformers with rotary positions, made from its config; a masked one is an encoder,
            whose plan is bidirectional.
        plan: as in "alibi", "rope + key_norm", "hwfa" or "kerple_log", or with mixers in place of attention, as in
            "retnet" or "tile('MMA', M=mamba, A=rope)".
        absolute: what is added to embeddings for their positions: "sinusoidal" or "learned"; None for nothing. A plan
            beside it that does not rotate is "nope".
        linear: the matrices of the projections inside the layers: "dense", or "monarch(blocks=4)" for Monarch matrices
            with a quarter of the numbers.
        seed: of the learned numbers.
        backend: the name of a backend of `attend`.

    Errors: RefusalError for a model that has a design or an extension, and where this model cannot take the plan;
    NotationError and SchemeError for a plan that means nothing; ShapeError for blocks that do not divide a projection.
    """
    check_untrained(model)
    anatomy = probe(model)
    target = target_of(anatomy, None)
    depth = len(anatomy.layers)
    resolved = resolve_design(plan, target, depth)
    check_direction(anatomy, resolved)
    check_kept(anatomy, resolved)
    whole = replace(resolved, layers=tuple(Scheme() if isinstance(e, Mixer) else e for e in resolved.layers))
    check_plain_rotation(model, anatomy, target, divide(anatomy, whole), backend)
    added = resolve_absolute(absolute, anatomy, target.geometry.trained_length)
    if added is not None and resolved.mixers:
        raise RefusalError(
            f"{resolved.mixers[0].name} knows the order of tokens without positions: leave out absolute="
        )
    if (structure := read_linear(linear)) is not None:
        put_structured(anatomy.base, structure, torch.Generator().manual_seed(seed))
    add_learned(anatomy, resolved, added, seed)
    attending = [i for i in range(depth) if isinstance(resolved.at(i, depth), Scheme)]
    anatomy = replace(anatomy, layers=tuple(anatomy.layers[i] for i in attending))
    _install_design(model, anatomy, replace(target, design=resolved, absolute=added, linear=structure), backend)
    return model


def check_untrained(model: object) -> None:
    """Check what somebody gives to `design`.

    Errors: RefusalError for what is no model, and for a model that carries a plan already.
    """
    if not isinstance(model, nn.Module):
        raise RefusalError(
            f"design takes an untrained model, got {shown(model)}: make one with "
            "AutoModelForCausalLM.from_config(config)"
        )
    if attachment_of(model) is not None:
        raise RefusalError("this model carries a plan already: give a model fresh from its config")


def has_design(model: nn.Module) -> bool:
    """Return whether a model was trained with a design."""
    present = attachment_of(model)
    return present is not None and present.target.design is not None


def sees_later_tokens(model: nn.Module) -> bool:
    """Return whether tokens of a model see those after them: it is an encoder, or was trained with such a design."""
    present, config = attachment_of(model), getattr(model, "config", None)
    layers = () if present is None else present.plan.layers
    both = any(isinstance(layer, Scheme) and not layer.direction.causal for layer in layers)
    return both or (isinstance(config, PreTrainedConfig) and is_encoder(config))


def _install_design(model: nn.Module, anatomy: Anatomy, target: Target, backend: str) -> None:
    assert target.design is not None
    work = divide(anatomy, target.design.attention(num_mixers(model) + len(anatomy.layers)))
    Attachment(model, anatomy, target, target.design, work, backend).install()


@contextmanager
def attached(
    model: _Model,
    scheme: Plan | Scheme | str,
    *,
    length: int | None = None,
    backend: str = "auto",
    tokenizer: Any = None,
) -> Iterator[_Model]:
    """`extend` a model while the context lasts; afterwards it is as it was before, an earlier extension included."""
    before = attachment_of(model)
    extend(model, scheme, length=length, backend=backend, tokenizer=tokenizer)
    try:
        yield model
    finally:
        present = attachment_of(model)
        if present is not before:
            if present is not None:
                present.remove()
            if before is not None:
                before.install()
