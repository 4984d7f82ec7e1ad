"""`tiny_llama` as a GGUF file, whole or not."""

from pathlib import Path

import gguf
import numpy as np
from transformers import LlamaForCausalLM

from pretrained.models import TRAINED, tiny_llama

Tensors = dict[str, np.ndarray]
LAYERS = 2


def tensors_of(model: LlamaForCausalLM) -> Tensors:
    """Its weights under llama.cpp's names, with channels paired as neighbors."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    found = {}
    for name, weight in model.state_dict().items():
        stem, suffix = name.rsplit(".", 1)
        numbers = weight.numpy()
        for kind, heads in (("q_proj", 4), ("k_proj", 2)):
            if kind in name:
                halves = numbers.reshape(heads, 2, -1, numbers.shape[1])
                numbers = halves.swapaxes(1, 2).reshape(numbers.shape)
        found[f"{names.get_name(stem)}.{suffix}"] = numbers
    return found


def write(path: Path, tensors: Tensors, layers: int = LAYERS, length: int = TRAINED) -> Path:
    config = tiny_llama().config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(length)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads or 0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    for name, numbers in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(numbers))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
