"""What a config says about the sizes of its model and the length it was trained on."""

from typing import Any

from transformers import PreTrainedConfig

from longspan.errors import RefusalError
from longspan.geometry import Geometry


def geometry(config: PreTrainedConfig) -> Geometry:
    """Sizes and trained length of the text model that a config describes.

    The trained length is what the config promises, `max_position_embeddings`. A checkpoint with a rescaling of its own
    was trained that far *with* it; `unscaled_length` says how far it was trained before.

    Errors: RefusalError where the config has no attention heads or no length.
    """
    text = config.get_text_config(decoder=True)
    heads = _number(text, "num_attention_heads")
    head_dim = _number(text, "head_dim") if getattr(text, "head_dim", None) else _number(text, "hidden_size") // heads
    kv_heads = _number(text, "num_key_value_heads") if getattr(text, "num_key_value_heads", None) else heads
    if heads % kv_heads:
        kv_heads = heads
    return Geometry(heads, kv_heads, head_dim, trained_length(config), theta(config), unscaled_length(config))


def trained_length(config: PreTrainedConfig) -> int:
    """The length that a config promises, tokens.

    Errors: RefusalError where it names none.
    """
    return _number(config.get_text_config(decoder=True), "max_position_embeddings")


def theta(config: PreTrainedConfig) -> float | None:
    """The base of the rotary frequencies; None for a model without rotation."""
    value = rope_parameters(config).get("rope_theta")
    if value is None:
        return None
    if not isinstance(value, int | float) or not value > 0:
        raise RefusalError(f"rope_theta of {type(config).__name__} must be a number above 0, got {value!r:.100}")
    return float(value)


def unscaled_length(config: PreTrainedConfig) -> int | None:
    """The length trained on before the checkpoint's own rescaling; None where there is none."""
    value = rope_parameters(config).get("original_max_position_embeddings")
    return None if value is None or rope_parameters(config).get("rope_type", "default") == "default" else int(value)


def rope_parameters(config: PreTrainedConfig) -> dict[str, Any]:
    """Of the layers that see everything, where layer types differ; empty for a model without rotation."""
    text = config.get_text_config(decoder=True)
    given = getattr(text, "rope_parameters", None) or {}
    nested = {kind: value for kind, value in given.items() if isinstance(value, dict)}
    if not nested:
        return given
    return nested.get("full_attention") or next(iter(nested.values()))


def _number(config: PreTrainedConfig, name: str) -> int:
    """A size, the largest where every layer has its own."""
    value = getattr(config, name, None)
    sizes = value if isinstance(value, list | tuple) else [value]
    size = max((each for each in sizes if isinstance(each, int) and not isinstance(each, bool)), default=0)
    if size < 1:
        raise RefusalError(f"{type(config).__name__} has no {name} to go by: its attention cannot be extended")
    return size
