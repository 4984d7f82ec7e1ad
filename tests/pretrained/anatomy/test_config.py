from typing import Any

import pytest
from transformers import LlamaConfig, PreTrainedConfig

from longspan.errors import RefusalError
from longspan.pretrained.anatomy.config import geometry

FIELDS = ("num_attention_heads", "hidden_size", "max_position_embeddings", "num_key_value_heads", "head_dim")
NO_SIZES: tuple[Any, ...] = ("x", -1, 0.5, True, {"x": 1}, ["x"], [-1, True])


def config(**changes: Any) -> PreTrainedConfig:
    found = LlamaConfig(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32)
    found.head_dim = None
    for name, value in changes.items():
        found.__dict__[name] = value  # as code that comes with a checkpoint may, which checks nothing
    return found


@pytest.mark.parametrize("value", NO_SIZES, ids=repr)
@pytest.mark.parametrize("name", FIELDS)
def test_what_is_no_size_is_refused(name, value):
    with pytest.raises(RefusalError, match=f"has no {name}"):
        geometry(config(**{name: value}))


@pytest.mark.parametrize("value", ["x", "", [], [0], 0, -1.0, float("nan")], ids=repr)
def test_what_is_no_base_is_refused(value):
    with pytest.raises(RefusalError, match="rope_theta of LlamaConfig must be a number above 0"):
        geometry(config(rope_parameters={"rope_type": "default", "rope_theta": value}))


def test_of_sizes_for_each_layer_the_largest_counts():
    assert geometry(config(num_key_value_heads=[0, 2, 1])).num_kv_heads == 2
    assert geometry(config()).head_dim == 16
    assert geometry(config(head_dim=8)).head_dim == 8
