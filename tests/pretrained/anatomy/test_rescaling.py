"""What a named rotation starts from, read off one set of rotation parameters."""

from typing import Any

import pytest

from longspan.pretrained.anatomy.rescaling import origin
from longspan.rotation.rope import RoPE
from longspan.rotation.yarn import YaRN


def read(kind: str, promised: int, **numbers: Any) -> Any:
    return origin({"rope_type": kind, "rope_theta": 1e6, **numbers}, promised)


LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}

STEP = {"low_freq_factor": 1.0, "high_freq_factor": 1.0}


@pytest.mark.parametrize(
    ("given", "trained", "original"),
    [
        (read("yarn", 32768, factor=4.0, original_max_position_embeddings=32768), 131072, 32768),  # Qwen 2.5's card
        (read("yarn", 40960, factor=4.0, original_max_position_embeddings=32768), 131072, 32768),  # Qwen 3's card
        (read("yarn", 131072, factor=4.0, original_max_position_embeddings=32768), 131072, 32768),
        (read("yarn", 163840, factor=40, original_max_position_embeddings=4096), 163840, 4096),  # DeepSeek-V3
        (read("linear", 4096, factor=4.0, original_max_position_embeddings=4096), 16384, 4096),
        (read("linear", 4096, factor=4.0), 4096, 1024),
        (read("llama3", 131072, factor=8.0, original_max_position_embeddings=8192, **LLAMA3), 131072, 8192),  # 3.1
        (read("llama3", 131072, factor=32.0, original_max_position_embeddings=8192, **LLAMA3), 131072, 8192),  # 3.2
        (read("llama3", 8192, factor=8.0, original_max_position_embeddings=8192, **LLAMA3), 65536, 8192),
        (read("llama3", 10485760, factor=16.0, original_max_position_embeddings=8192, **STEP), 10485760, 8192),  # 4
        (read("dynamic", 4096, factor=4.0), 4096, 4096),
        (read("default", 4096), 4096, 4096),
    ],
)
def test_the_trained_length_is_the_promised_one_or_what_the_rescaling_reaches(given, trained, original):
    assert (given.trained_length, given.original_length) == (trained, original)
    assert given.rescaled == (not isinstance(given.own, RoPE))


@pytest.mark.parametrize("promised", [32768, 40960, 131072])
def test_a_bare_name_for_the_length_of_the_card_is_the_card_whatever_is_promised(promised):
    start = read("yarn", promised, factor=4.0, original_max_position_embeddings=32768)
    assert start.inherited(YaRN(), 131072) == start.own
    assert start.inherited(YaRN(), 262144).factor == 8
    assert start.reach(RoPE(), None) == 131072
