"""Reading a GGUF file as a model of transformers, with its weights unpacked."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, GgufConfig, PreTrainedConfig, PreTrainedModel

from longspan.errors import RefusalError
from longspan.pretrained.anatomy.config import rope_parameters, trained_length
from longspan.pretrained.anatomy.rescaling import llama3_parameters
from longspan.pretrained.storing.checkpoint import load_weights, one_line, unused_weights

FACTORS = "rope_freqs.weight"
"""The tensor in which a converted Llama 3.1, 3.2 or 3.3 keeps its rescaling; transformers ignores it."""


def load_gguf(path: Path, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """Load the model in a GGUF file.

    Arguments:
        dtype: of the weights; float32 where it is not given.

    Errors: RefusalError for a file that is no GGUF or ends too early, and for tensors that are missing or unused.
    """
    check_whole(path)
    config = read_gguf_config(path)
    # Left packed, the weights would be multiplied by code that transformers fetches.
    model = load_weights(
        path.parent,
        path,
        config=config,
        dtype=dtype or torch.float32,
        quantization_config=GgufConfig(dequantize=True),
        **_file(path),
    )
    unused = [name for name in _unused(path, model) if name != FACTORS]  # the config holds their numbers
    if unused:
        raise unused_weights(path, unused)
    forget_quantizer(model)
    return model


def read_gguf_config(path: Path) -> PreTrainedConfig:
    """Read the config from the header of a GGUF file, and from Llama 3's factors on frequencies where it has some.

    Errors: RefusalError for factors that are not Llama 3's.
    """
    config = AutoConfig.from_pretrained(path.parent, **_file(path))
    factors = _factors(path)
    if factors is not None and rope_parameters(config).get("rope_type", "default") == "default":
        rescaled = llama3_parameters(rope_parameters(config), factors, trained_length(config))
        if rescaled is None:
            raise RefusalError(
                f"{path} has factors on its frequencies ({FACTORS}) that are not those of Llama 3: "
                "longspan does not know them; load the checkpoint from which the file was made"
            )
        config.rope_parameters = rescaled
    return config


def _factors(path: Path) -> Float64[Tensor, " pairs"] | None:
    """Return the numbers by which the file divides its frequencies; None where it divides none."""
    from gguf import GGUFReader

    found = [tensor for tensor in GGUFReader(path).tensors if tensor.name == FACTORS]
    return torch.tensor(found[0].data.tolist(), dtype=torch.float64) if found else None


def load_gguf_tokenizer(path: Path) -> Any:
    """Load the tokenizer in the header of a GGUF file."""
    return AutoTokenizer.from_pretrained(path.parent, **_file(path))


def _file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise RefusalError(f"there is no file {path}")
    return {"gguf_file": path.name, "local_files_only": True}


def _unused(path: Path, model: PreTrainedModel) -> list[str]:
    """Return the tensors of the file that the older of transformers' two readers ignores silently."""
    from gguf import GGUFReader
    from transformers.integrations.gguf.utils import is_gguf_arch_supported
    from transformers.modeling_gguf_pytorch_utils import (
        TENSOR_PROCESSORS,
        TensorProcessor,
        get_gguf_hf_weights_map,
        read_field,
    )

    reader = GGUFReader(path)
    architecture = str(*read_field(reader, "general.architecture"))
    if is_gguf_arch_supported(architecture):
        return []  # the newer reader reports them itself
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=model.config.to_dict())
    used = get_gguf_hf_weights_map(model, processor)
    # Experts are mapped without a suffix.
    return [t.name for t in reader.tensors if t.name not in used and t.name.removesuffix(".weight") not in used]


def check_whole(path: Path) -> None:
    """Raise unless the file holds every tensor that its header names, and at least one tensor per layer."""
    from gguf import GGUFReader

    if not path.is_file():
        raise RefusalError(f"there is no file {path}")
    try:
        reader = GGUFReader(path)
        end = max((tensor.data_offset + tensor.n_bytes for tensor in reader.tensors), default=0)
        layers = [field.contents() for name, field in reader.fields.items() if name.endswith(".block_count")]
    except Exception as error:  # the reader raises anything that numpy raises on a cut file
        raise RefusalError(f"{path} is no whole GGUF file ({one_line(error)}): fetch it again") from error
    if end > path.stat().st_size:
        raise RefusalError(f"{path} ends after {path.stat().st_size} bytes of {end}: fetch it again")
    for count in layers:
        if isinstance(count, int) and count > len(reader.tensors):  # transformers would build them all
            raise RefusalError(f"{path} has {count} layers and only {len(reader.tensors)} tensors: fetch it again")


def forget_quantizer(model: PreTrainedModel) -> None:
    """Remove the quantizer of a model whose weights are plain numbers now; with it, the model could not be saved."""
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        delattr(model.config, "quantization_config")
    vars(model)["is_quantized"] = False
