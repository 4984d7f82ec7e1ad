"""What a config says about the sizes of its model and the length it was trained on."""

from typing import Any

from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

from longspan.errors import RefusalError
from longspan.geometry import Geometry
from longspan.pretrained.anatomy.rescaling import Origin, origin

ORIGINAL = "original_max_position_embeddings"
FROM_ORIGINAL = ("yarn", "longrope", "llama3")
"""Kinds of rescaling that start from an original length of their own."""


def geometry(config: PreTrainedConfig) -> Geometry:
    """Return the sizes and the trained length of the text model that a config describes.

    The trained length is what the config promises: `max_position_embeddings`, or what its own rescaling reaches where
    that is more. A checkpoint with a rescaling was trained to that length *with* it; `unscaled_length` is the length
    that it was trained to before.

    Errors: RefusalError where the config has no attention heads or no length.
    """
    start = rope_origin(config)
    text = _far_layer(config.get_text_config(decoder=True))
    heads = _number(text, "num_attention_heads")
    head_dim = _number(text, "head_dim") if getattr(text, "head_dim", None) else _number(text, "hidden_size") // heads
    kv_heads = _number(text, "num_key_value_heads") if getattr(text, "num_key_value_heads", None) else heads
    if heads % kv_heads:
        kv_heads = heads
    return Geometry(heads, kv_heads, head_dim, start.trained_length, theta(config), start.unscaled_length)


def is_encoder(config: PreTrainedConfig) -> bool:
    """Return whether transformers has an architecture as a masked language model and not as a causal one."""
    return type(config) in MODEL_FOR_MASKED_LM_MAPPING and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING


def auto_class(config: PreTrainedConfig) -> type[AutoModelForCausalLM | AutoModelForMaskedLM]:
    """Return the class of transformers that makes and loads a language model of a config."""
    return AutoModelForMaskedLM if is_encoder(config) else AutoModelForCausalLM


def trained_length(config: PreTrainedConfig) -> int:
    """Return the length that a config promises, tokens.

    Errors: RefusalError where it names none.
    """
    return _number(config.get_text_config(decoder=True), "max_position_embeddings")


def theta(config: PreTrainedConfig, layer_type: str | None = None) -> float | None:
    """Return the base of the rotary frequencies; None for a model without rotation.

    Errors: RefusalError where it is no positive number.
    """
    value = rope_parameters(config, layer_type).get("rope_theta")
    if value is None:
        return None
    if not isinstance(value, int | float) or not value > 0:
        raise RefusalError(f"rope_theta of {type(config).__name__} must be a number above 0, got {value!r:.100}")
    return float(value)


def rope_origin(config: PreTrainedConfig, layer_type: str | None = None) -> Origin:
    """Return what a rotation that is named on the model starts from.

    Errors: RefusalError where the config names no length, or its rope_parameters are not what their rope_type needs.
    """
    given = rope_parameters(config, layer_type)
    theta(config, layer_type)  # raises where it is no positive number
    try:
        return origin(given, trained_length(config), nested=bool(_by_layer_type(config)))
    except RefusalError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise RefusalError(
            f"rope_parameters of {type(config).__name__} cannot be used ({type(error).__name__}: {error}): "
            f"got {given!r:.200}"
        ) from error


def rope_parameters(config: PreTrainedConfig, layer_type: str | None = None) -> dict[str, Any]:
    """Return one set of `rope_parameters`, as models compute with it; an empty one for a model without rotation.

    Where layer types differ, it is the set of the named type, or that of the layers that see everything. Where they do
    not, an `original_max_position_embeddings` beside the set takes the place of the one inside, but transformers moves
    it there when it builds the model, and not when it reads the config.

    Source: `RotaryEmbeddingConfigMixin.standardize_rope_params` in transformers' `modeling_rope_utils`.
    """
    text = config.get_text_config(decoder=True)
    nested = _by_layer_type(config)
    if not nested:
        given = getattr(text, "rope_parameters", None) or {}
        beside = getattr(text, ORIGINAL, None)
        moved = beside is not None and isinstance(given, dict) and given.get("rope_type") in FROM_ORIGINAL
        return {**given, ORIGINAL: beside} if moved else given
    names = (layer_type, *_far_types(text), "full_attention", *nested)
    return next(nested[name] for name in names if name in nested)


def _far_layer(text: PreTrainedConfig) -> PreTrainedConfig:
    """Return the config of the first layer that sees everything, where each layer has a config of its own."""
    far = _far_types(text)
    return text.per_layer_config[text.layer_types.index(far[0])] if text.is_heterogeneous and far else text


def _far_types(text: PreTrainedConfig) -> list[str]:
    return [kind for kind in getattr(text, "layer_types", None) or () if "sliding" not in kind and "conv" not in kind]


def _by_layer_type(config: PreTrainedConfig) -> dict[str, dict[str, Any]]:
    given = getattr(config.get_text_config(decoder=True), "rope_parameters", None) or {}
    return {kind: value for kind, value in given.items() if isinstance(value, dict)}


def _number(config: PreTrainedConfig, name: str) -> int:
    """Return a size; where each layer has its own, the largest."""
    value = getattr(config, name, None)
    sizes = value if isinstance(value, list | tuple) else [value]
    size = max((each for each in sizes if isinstance(each, int) and not isinstance(each, bool)), default=0)
    if size < 1:
        raise RefusalError(f"{type(config).__name__} has no {name}: its attention cannot be extended without it")
    return size
