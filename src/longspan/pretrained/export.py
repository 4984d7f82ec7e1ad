"""What stock runtimes can express of an extension: other fixed frequencies, written as a LongRoPE."""

import copy
from typing import Any

import torch
from transformers import PreTrainedConfig

from longspan.pretrained.attach import Attachment
from longspan.pretrained.frame import Source
from longspan.pretrained.runtimes import longrope
from longspan.slots import Rotation


def stock_config(attachment: Attachment) -> dict[str, Any] | None:
    """Fields of the text model's config under which stock transformers runs the extension; None where there are none.

    What comes back is proved: the model's own rotary module, made anew from it, has the extension's frequencies.
    """
    work = attachment.work
    if not work.stock or not work.rotations:
        return None
    text = attachment.anatomy.base.config.get_text_config(decoder=True)
    trial = copy.deepcopy(text)
    reach = _reach(attachment, text.max_position_embeddings)
    for source, rotation in work.rotations.items():
        parameters = longrope(rotation, _of(text, source), 2 * len(source.frequencies), reach)
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


def _reach(attachment: Attachment, trained: int) -> int:
    """The length that the extension is for."""
    factors = [getattr(rotation, "factor", None) or 1.0 for rotation in attachment.work.rotations.values()]
    return max(attachment.length or 0, int(trained * max(factors)))


def _of(text: PreTrainedConfig, source: Source) -> PreTrainedConfig:
    """The config as one source reads it."""
    if source.layer_type is None:
        return text
    own = copy.deepcopy(text)
    own.rope_parameters = text.rope_parameters[source.layer_type]
    return own


def _same(source: Source, rotation: Rotation, config: PreTrainedConfig) -> bool:
    try:
        module = type(source.module)(config=config)
        made = Source(module, source.layer_type)
        frequencies = rotation.frequencies(2 * len(source.frequencies)).float()
        near = torch.allclose(made.frequencies.cpu(), frequencies.cpu(), rtol=1e-6, atol=0)
        return near and abs(made.gain - rotation.gain) < 1e-6
    except (TypeError, ValueError, KeyError, AttributeError):  # this family's module reads no LongRoPE
        return False
