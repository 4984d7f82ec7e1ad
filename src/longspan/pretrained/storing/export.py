"""The stock config of an extension: other fixed frequencies, written as a LongRoPE, which stock runtimes read."""

import copy
from typing import Any

import torch
from transformers import PreTrainedConfig

from longspan.pretrained.anatomy.config import rope_origin, rope_parameters
from longspan.pretrained.attachment import Attachment
from longspan.pretrained.running.rotary import Source
from longspan.pretrained.storing.runtimes import longrope
from longspan.slots import Rotation


def is_architecture_alone(attachment: Attachment) -> bool:
    """Return whether a model with a design does what its architecture does without one."""
    return attachment.work.stock and not attachment.work.frames and not _has_own(attachment)


def stock_config(attachment: Attachment) -> dict[str, Any] | None:
    """Return fields of the text model's config under which stock transformers runs the extension; None where none do.

    They are checked: a rotary module of the model's own class, made from them, has the extension's frequencies.
    """
    work = attachment.work
    if not work.stock or not work.rotations or _has_own(attachment):
        return None
    text = attachment.own_config(attachment.anatomy.base).get_text_config(decoder=True)
    trial = copy.deepcopy(text)
    origins = {source: rope_origin(text, source.layer_type) for source in work.rotations}
    reach = max(origins[source].reach(each, attachment.length) for source, each in work.rotations.items())
    for source, rotation in work.rotations.items():
        present = rope_parameters(text, source.layer_type)
        parameters = longrope(rotation, present, origins[source], 2 * len(source.frequencies), reach)
        if parameters is None:
            return None
        if source.layer_type is None:
            trial.rope_parameters = parameters
        else:
            trial.rope_parameters = {**trial.rope_parameters, source.layer_type: parameters}
    trial.max_position_embeddings = reach
    if not all(_same(source, rotation, trial) for source, rotation in work.rotations.items()):
        return None
    return {"rope_parameters": trial.rope_parameters, "max_position_embeddings": reach}


def _has_own(attachment: Attachment) -> bool:
    """Whether a design has modules of its own."""
    target = attachment.target
    return target.absolute is not None or target.linear is not None or bool(attachment.plan.mixers)


def _same(source: Source, rotation: Rotation, config: PreTrainedConfig) -> bool:
    try:
        module = type(source.module)(config=config)
        made = Source(module, source.layer_type)
        frequencies = rotation.frequencies(2 * len(source.frequencies)).float()
        near = torch.allclose(made.frequencies.cpu(), frequencies.cpu(), rtol=1e-6, atol=0)
        return near and abs(made.gain - rotation.gain) < 1e-6
    except (TypeError, ValueError, KeyError, AttributeError):  # this family's module reads no LongRoPE
        return False
