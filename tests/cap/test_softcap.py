"""Outside source: transformers' Gemma 2."""

from math import e
from types import SimpleNamespace

import pytest
import torch
from transformers import Gemma2Config
from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward

from longspan import attend
from longspan.cap.softcap import Softcap
from longspan.errors import SchemeError


def test_is_the_attention_of_gemma2() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8) * 5
    causal = torch.full((9, 9), -torch.inf).triu(1)
    module = SimpleNamespace(num_key_value_groups=1, training=False)
    theirs, _ = eager_attention_forward(module, query, key, value, causal, scaling=0.5, softcap=3.0)  # type: ignore[arg-type]
    torch.testing.assert_close(attend(query, key, value, "softcap(3)", scale=0.5), theirs.transpose(1, 2))


def test_limit_is_gemma2s_where_none_is_given() -> None:
    assert Softcap().limit == Gemma2Config().attn_logit_softcapping


def test_has_slope_one_at_zero_and_stays_below_the_limit() -> None:
    scores = torch.linspace(-100, 100, 201, dtype=torch.float64, requires_grad=True)
    capped = Softcap(limit=20)(scores)
    (slope,) = torch.autograd.grad(capped.sum(), scores)
    assert slope[100] == 1
    assert (capped.abs() < 20).all()
    assert (capped.diff() > 0).all()


def test_a_limit_below_one() -> None:
    """0.5 tanh(0.25 / 0.5) = 0.5 (e − 1) / (e + 1)."""
    assert Softcap(0.5)(torch.tensor(0.25)).item() == pytest.approx(0.5 * (e - 1) / (e + 1), rel=1e-6)


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_refuses_what_is_no_limit(limit: float) -> None:
    with pytest.raises(SchemeError, match="softcap: limit must be above 0"):
        Softcap(limit)
