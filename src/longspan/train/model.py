"""From settings to an untrained model: an architecture of transformers with a design on it."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig

from longspan.errors import InputError, nearest
from longspan.pretrained.attach import design
from longspan.pretrained.storing.checkpoint import refusing
from longspan.train.settings import Settings
from longspan.train.tables import ModelTable

FILLED = ("vocab_size", "max_position_embeddings")
"""Fields that the tokenizer and the length of training decide."""


def config_of(table: ModelTable, vocabulary: int, length: int, end: int | None) -> PreTrainedConfig:
    """Return the config of the table `[model]`.

    Arguments:
        vocabulary: tokens of the tokenizer.
        length: L, the length of training.
        end: the token that ends a text; None where there is none.

    Errors: InputError for an architecture or a field that transformers lacks, and for a field that is filled in.
    """
    given = dict(table.config)
    if twice := [name for name in FILLED if name in given]:
        raise InputError(f"model.{twice[0]} is what the tokenizer and training.length give: leave it out")
    try:
        plain = AutoConfig.for_model(table.architecture)
    except ValueError:
        raise InputError(f"model.architecture: transformers has no {table.architecture!r}") from None
    names = [name for name in plain.to_dict() if not name.startswith("_")]
    for name in given:
        if name not in names:
            raise InputError(f"model.{name} is no field of {type(plain).__name__}{nearest(name, names)}")
    special = {
        name: end if name == "eos_token_id" else None for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    with refusing(f"the table [model] makes no config of {table.architecture}"):
        return AutoConfig.for_model(
            table.architecture,
            **{**special, **given, "vocab_size": vocabulary, "max_position_embeddings": length},
        )


def untrained(settings: Settings, tokenizer: Any) -> Any:
    """Return a causal language model with its design and random weights, which the seed of the training decides.

    Errors: InputError for a table `[model]` that makes no model; NotationError, SchemeError and RefusalError for a
    design that means nothing or that this architecture cannot have.
    """
    training = settings.training
    config = config_of(settings.model, len(tokenizer), training.length, tokenizer.eos_token_id)
    torch.manual_seed(training.seed)
    with refusing(f"the table [model] makes no model of {settings.model.architecture}"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if training.checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    own = settings.design.seed
    seed = training.seed if own is None else own
    return design(
        model, settings.design.plan, absolute=settings.design.absolute, linear=settings.model.linear, seed=seed
    )
