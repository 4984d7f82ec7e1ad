"""From settings to an untrained model: an architecture of transformers with a design on it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from longspan.errors import InputError, nearest
from longspan.pretrained.anatomy.config import auto_class, is_encoder
from longspan.pretrained.attach import design
from longspan.pretrained.storing.checkpoint import refusing
from longspan.train.data.batch import Batch
from longspan.train.forward import hidden_states, quiet
from longspan.train.head import head_of, text_model
from longspan.train.settings import Settings
from longspan.train.tables import ModelTable

END = "eos_token_id"
SPECIAL = ("bos_token_id", END, "pad_token_id")
"""Tokens that a config names; the tokenizer's own end of a text takes the place of those of the architecture."""
OF_ENCODERS = ("cls_token_id", "sep_token_id", "mask_token_id")
"""The same, in configs of encoders."""

TRIED = 8
"""Tokens of the text that a fresh model is tried on."""
ALLOWED = 1e-3
"""The difference of logits that a cap far above them may make there, in standard deviations."""
LARGEST = 20.0
"""The largest logit of the trial, as large as those of trained models: caps change small ones too little to be seen."""

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
    names = [*(name for name in plain.to_dict() if not name.startswith("_")), *plain.attribute_map]
    for name in given:
        if name not in names:
            raise InputError(f"model.{name} is no field of {type(plain).__name__}{nearest(name, names)}")
    if type(plain) not in MODEL_FOR_CAUSAL_LM_MAPPING and not is_encoder(plain):
        raise InputError(
            "model.architecture: transformers has neither a causal nor a masked language model of "
            f"{table.architecture!r}"
        )
    sizes = {**given, "vocab_size": vocabulary, "max_position_embeddings": length}
    special = (*SPECIAL, *(name for name in OF_ENCODERS if hasattr(plain, name)))
    bare = {name: end if name == END else None for name in special}
    with suppress(Exception):  # some architectures cannot be without a token that others can be without
        return AutoConfig.for_model(table.architecture, **{**bare, **sizes})
    with refusing(f"the table [model] makes no config of {table.architecture}"):
        return AutoConfig.for_model(table.architecture, **{**dict.fromkeys(special, end), **sizes})


def untrained(settings: Settings, tokenizer: Any) -> Any:
    """Return a language model with its design and random weights, which the seed of the training decides.

    Errors: InputError for a table `[model]` that makes no model; NotationError, SchemeError and RefusalError for a
    design that means nothing or that this architecture cannot have.
    """
    training = settings.training
    config = config_of(settings.model, len(tokenizer), training.length, tokenizer.eos_token_id)
    torch.manual_seed(training.seed)
    with refusing(f"the table [model] makes no model of {settings.model.architecture}"):
        model: Any = auto_class(config).from_config(config, dtype=torch.float32)
    if training.checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    own = settings.design.seed
    seed = training.seed if own is None else own
    with refusing(f"a model of {settings.model.architecture} cannot read a text"):
        design(model, settings.design.plan, absolute=settings.design.absolute, linear=settings.model.linear, seed=seed)
    _check_head(model, settings.model.architecture)
    return model


def _check_head(model: Any, architecture: str) -> None:
    """Refuse a model whose logits are more than its head gives: the loss is made of the head's, slice by slice.

    Errors: InputError.
    """
    ids = (torch.arange(TRIED) % model.config.get_text_config(decoder=True).vocab_size)[None]
    with quiet(model):
        with refusing(f"a model of {architecture} cannot read a text"):
            hidden = hidden_states(model, Batch(ids, ids, torch.ones_like(ids, dtype=torch.bool)))
        with refusing(f"the head of a model of {architecture} does not take its hidden states"):
            head = head_of(model)
            larger = LARGEST / float(head(hidden).abs().max().clamp(min=1e-6))
            made = head(larger * hidden[0, ::2])  # a loss has some tokens, without their neighbors
        with refusing(f"a model of {architecture} cannot read a text"), _multiplied(text_model(model), larger):
            logits = model(input_ids=ids, use_cache=False).logits
    if not (logits[0, ::2] - made).abs().max() <= ALLOWED * made.std():
        raise InputError(
            f"model.architecture: {architecture} has more between its layers and its logits than a head (a scale, "
            "a cap, a layer), which training would leave out: let its config say that it changes nothing, as in "
            "logit_scale = 1.0, or take another architecture"
        )


@contextmanager
def _multiplied(base: nn.Module, factor: float) -> Iterator[None]:
    """Multiply the hidden states that a text model returns."""

    def multiply(module: nn.Module, args: object, output: Any) -> Any:
        output.last_hidden_state = factor * output.last_hidden_state
        return output

    hook = base.register_forward_hook(multiply)
    try:
        yield
    finally:
        hook.remove()
