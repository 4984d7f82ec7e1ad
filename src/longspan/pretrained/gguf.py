"""Reading a GGUF file as a model of transformers, its weights unpacked."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, GgufConfig, PreTrainedModel

from longspan.errors import RefusalError


def load_gguf(path: Path, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """The model in a GGUF file.

    Errors: RefusalError for a file that is no GGUF or ends too early.
    """
    check_whole(path)
    try:
        # Left packed, the weights would be multiplied by code that transformers fetches.
        model = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            dtype=dtype or torch.float32,
            local_files_only=True,
            quantization_config=GgufConfig(dequantize=True),
        )
    except (OSError, ValueError, KeyError) as error:
        raise RefusalError(f"{path} is a GGUF file that transformers cannot read: {_one_line(error)}") from error
    forget_quantizer(model)
    return model


def check_whole(path: Path) -> None:
    """Raise unless the file holds every tensor that its header names."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        end = max((tensor.data_offset + tensor.n_bytes for tensor in reader.tensors), default=0)
    except Exception as error:  # the reader raises whatever numpy does on a cut file
        raise RefusalError(f"{path} is no whole GGUF file ({_one_line(error)}): fetch it again") from error
    if end > path.stat().st_size:
        raise RefusalError(f"{path} ends after {path.stat().st_size} bytes of {end}: fetch it again")


def forget_quantizer(model: PreTrainedModel) -> None:
    """The weights are plain numbers now; without this the model refuses to be saved."""
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        delattr(model.config, "quantization_config")
    model.is_quantized = False  # type: ignore[attr-defined]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
