"""Outside source: PyTorch's scaled dot-product attention with a scale of its own."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from longspan import attend
from longspan.errors import SchemeError
from longspan.scale.constant import Constant


def test_is_torch_attention_with_that_scale() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    wanted = scaled_dot_product_attention(query, key, value, is_causal=True, scale=0.7)
    torch.testing.assert_close(attend(query, key, value, "constant(0.7)"), wanted)


def test_is_unscaled_where_no_value_is_given() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    assert torch.equal(attend(query, key, value, "constant"), attend(query, key, value, "unscaled"))


def test_takes_the_place_of_a_models_own_number() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    given = attend(query, key, value, "constant(0.7)", scale=5.0)
    assert torch.equal(given, attend(query, key, value, "constant(0.7)"))


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_zero_is_the_mean_of_what_is_seen(backend: str) -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    mean = value.cumsum(2) / torch.arange(1, 10)[:, None]
    torch.testing.assert_close(attend(query, key, value, "constant(0)", backend=backend), mean)


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_a_models_own_number_may_be_negative(backend: str) -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    wanted = scaled_dot_product_attention(-query, key, value, is_causal=True, scale=0.5)
    torch.testing.assert_close(attend(query, key, value, "nope", scale=-0.5, backend=backend), wanted)


def test_refuses_what_is_no_sharpness() -> None:
    with pytest.raises(SchemeError, match="constant: value must be at least 0"):
        Constant(-1.0)
