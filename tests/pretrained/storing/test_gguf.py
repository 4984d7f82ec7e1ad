"""A GGUF file gives every weight of its model, and each of its tensors goes somewhere."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

import longspan
from longspan.errors import RefusalError
from longspan.pretrained.storing.runtimes import runtime_flags
from longspan.pretrained.storing.save import read_config
from pretrained.gguf_files import Tensors, tensors_of, write
from pretrained.models import logits, tiny_llama, tokens

WORDS = tokens(1, 40)


def test_a_whole_file_is_the_model(tmp_path):
    path = write(tmp_path / "whole.gguf", tensors_of(tiny_llama()))
    expected = logits(tiny_llama(), WORDS)
    torch.testing.assert_close(logits(longspan.load(path).eval(), WORDS), expected, rtol=0, atol=1e-4)


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {each: numbers for each, numbers in tensors.items() if each != name}


def renamed(name: str, other: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {other if each == name else each: numbers for each, numbers in tensors.items()}


def added(name: str, size: int) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, name: np.ones(size, np.float32)}


STRANGE = np.array([1, 2, 1, 4, 1, 8, 1, 8], np.float32)
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def converted(pairs: int) -> np.ndarray:
    """As llama.cpp's converter computes them: what divides the frequency of each pair."""
    factors = []
    for wavelength in 2 * np.pi * 10000.0 ** (np.arange(pairs) / pairs):
        smooth = (64 / wavelength - 1) / 3
        factors.append(1 if wavelength < 16 else 8 if wavelength > 64 else 1 / ((1 - smooth) / 8 + smooth))
    return np.array(factors, np.float32)


def test_the_rescaling_of_llama_3_comes_back(tmp_path):
    model = tiny_llama(rope_parameters=LLAMA3, max_position_embeddings=1024)
    tensors = {**tensors_of(model), "rope_freqs.weight": converted(8)}
    path = write(tmp_path / "llama3.gguf", tensors, length=1024)
    loaded = longspan.load(path).eval()
    assert loaded.config.rope_parameters == LLAMA3
    expected = logits(model, WORDS)
    assert (expected - logits(tiny_llama(), WORDS)).abs().max() > 0.1  # what it would be without
    torch.testing.assert_close(logits(loaded, WORDS), expected, rtol=0, atol=1e-4)
    vllm, llama_cpp, _ = runtime_flags(read_config(path)[0], "yarn", 2048)
    assert vllm.flags[-1] == "2048"
    assert "on top of every flag" in llama_cpp.reason
    assert runtime_flags(read_config(path)[0], "rope", 1024)[1].flags == ("-c", "1024")


WRONG: dict[str, tuple[Callable[[Tensors], Tensors], int, str]] = {
    "a layer too few": (lambda tensors: tensors, 3, r"lacks weights .*layers\.2\."),
    "a layer too many": (lambda tensors: tensors, 1, r"does not use: blk\.1\..* and 6 more"),
    "layers without number": (lambda tensors: tensors, 2**31, r"has 2147483648 layers and only 21 tensors"),
    "a tensor lost": (without("blk.1.ffn_up.weight"), 2, r"lacks weights .*layers\.1\.mlp\.up_proj"),
    "a tensor renamed": (renamed("blk.1.attn_k.weight", "blk.1.attn_kk.weight"), 2, r"lacks weights .*k_proj"),
    "a head renamed": (renamed("output.weight", "out.weight"), 2, r"does not use: out\.weight"),
    "a bias without a place": (added("blk.0.attn_q.bias", 64), 2, r"does not use: blk\.0\.attn_q\.bias"),
    "factors on frequencies": (lambda tensors: {**tensors, "rope_freqs.weight": STRANGE}, 2, "not those of Llama 3"),
    "an embedding cut": (
        lambda tensors: {**tensors, "token_embd.weight": tensors["token_embd.weight"][:-1]},
        2,
        r"not have the sizes .*\(96, 64\), not \(97, 64\)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_tensor_too_few_or_too_many_is_refused(tmp_path, name):
    change, layers, words = WRONG[name]
    path = write(tmp_path / "wrong.gguf", change(tensors_of(tiny_llama())), layers)
    with pytest.raises(RefusalError, match=words) as raised:
        longspan.load(path)
    assert "\n" not in str(raised.value)
