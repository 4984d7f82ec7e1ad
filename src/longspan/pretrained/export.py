"""What stock runtimes can express of an extension: other fixed frequencies, written as a LongRoPE."""

import copy
from typing import Any

import torch
from transformers import PreTrainedConfig

from longspan.pretrained.attach import Attachment
from longspan.pretrained.frame import Source
from longspan.slots import Rotation, geometric


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
        parameters = _longrope(source, rotation, text, reach)
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


def _longrope(source: Source, rotation: Rotation, text: PreTrainedConfig, reach: int) -> dict[str, Any] | None:
    present = dict(text.rope_parameters if source.layer_type is None else text.rope_parameters[source.layer_type])
    rotary_dim = 2 * len(source.frequencies)
    frequencies = rotation.frequencies(rotary_dim)
    theta = present.get("rope_theta")
    if theta is None or not frequencies.all():
        return None
    factors = (geometric(float(theta), rotary_dim) / frequencies).tolist()
    kept = {name: present[name] for name in ("rope_theta", "partial_rotary_factor") if name in present}
    return {
        **kept,
        "rope_type": "longrope",
        "short_factor": factors,
        "long_factor": factors,
        "factor": reach / text.max_position_embeddings,
        "original_max_position_embeddings": text.max_position_embeddings,
        "attention_factor": rotation.gain,
        # vLLM reads the gain under these names.
        "short_mscale": rotation.gain,
        "long_mscale": rotation.gain,
    }


def _same(source: Source, rotation: Rotation, config: PreTrainedConfig) -> bool:
    try:
        module = type(source.module)(config=config)
        made = Source(module, source.layer_type)
        frequencies = rotation.frequencies(2 * len(source.frequencies)).float()
        near = torch.allclose(made.frequencies.cpu(), frequencies.cpu(), rtol=1e-6, atol=0)
        return near and abs(made.gain - rotation.gain) < 1e-6
    except (TypeError, ValueError, KeyError, AttributeError):  # this family's module reads no LongRoPE
        return False
