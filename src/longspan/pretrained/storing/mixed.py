"""Loading a model with modules of its own, which are made before the weights are read: transformers has none such."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from longspan.errors import RefusalError
from longspan.notation import parse_plan
from longspan.pretrained.anatomy.config import auto_class
from longspan.pretrained.attach import design
from longspan.pretrained.linear import DENSE
from longspan.pretrained.running.learned import LEARNED
from longspan.pretrained.storing.checkpoint import find, unused_weights
from longspan.pretrained.storing.design import Trained


def has_own_modules(trained: Trained) -> bool:
    """Return whether a trained model has mixers in place of attention, or projections that are not dense."""
    return trained.linear != DENSE or bool(parse_plan(trained.plan).mixers)


def load_mixed(
    source: Path | str,
    config: PreTrainedConfig,
    trained: Trained,
    settings: dict[str, Any],
    dtype: torch.dtype | None,
    backend: str,
) -> PreTrainedModel:
    """Return the model of a folder, without the learned numbers of its design.

    Arguments:
        settings: with which transformers finds the checkpoint.
        dtype: of the weights; None as they are stored.

    Errors: RefusalError for weights that are missing, of another size, or unused.
    """
    tensors = _tensors(source, settings)
    dtype = dtype or next(iter(tensors.values())).dtype
    model = auto_class(config).from_config(config, dtype=dtype)
    design(model, trained.plan, absolute=trained.absolute, linear=trained.linear, backend=backend)
    own = model.state_dict()
    if unused := tensors.keys() - own.keys():
        raise unused_weights(source, unused)
    for name, value in tensors.items():
        if value.shape != own[name].shape:
            raise RefusalError(
                f"the weights in {source} do not have the sizes of the model that its config describes: {name} is "
                f"{tuple(value.shape)}, not {tuple(own[name].shape)}; fetch the checkpoint again, or correct its config"
            )
    model.load_state_dict({name: value.to(dtype) for name, value in tensors.items()}, strict=False)
    model.tie_weights()
    own = model.state_dict()
    tied = {own[name].data_ptr() for name in tensors}
    missing = [n for n, v in own.items() if n not in tensors and f".{LEARNED}." not in n and v.data_ptr() not in tied]
    if missing:
        raise RefusalError(
            f"{source} lacks weights of the model that its config describes: {', '.join(sorted(missing)[:3])}; they "
            "would be random numbers: fetch the checkpoint again, or correct its config"
        )
    return model.eval()


def _tensors(source: Path | str, settings: dict[str, Any]) -> dict[str, Tensor]:
    whole = find(source, SAFE_WEIGHTS_NAME, settings)
    if whole is not None:
        return load_file(whole)
    index = find(source, SAFE_WEIGHTS_INDEX_NAME, settings)
    assert index is not None  # `require_safetensors` looked
    names = sorted(set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()))
    found: dict[str, Tensor] = {}
    for name in names:
        path = find(source, name, settings)
        if path is None:
            raise RefusalError(f"{source} lacks its file {name}: fetch the checkpoint again")
        found |= load_file(path)
    return found
