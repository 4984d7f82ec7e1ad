"""Outside source: transformers' gpt-oss."""

from types import SimpleNamespace

import pytest
import torch
from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward

from longspan import attend
from longspan.normalizer.softmax_plus_one import SoftmaxPlusOne


@pytest.mark.parametrize("backend", ["reference", "tiles"])
def test_is_the_attention_of_gpt_oss(backend: str) -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    sinks = 3 * torch.randn(4, dtype=torch.float64)
    causal = torch.full((9, 9), -torch.inf, dtype=torch.float64).triu(1)
    module = SimpleNamespace(sinks=sinks, num_key_value_groups=1, training=False)
    theirs, _ = eager_attention_forward(module, query, key, value, causal, scaling=0.5)  # type: ignore[arg-type]
    weights = {"normalizer.logit": sinks}
    ours = attend(query, key, value, "softmax_plus_one", scale=0.5, weights=weights, backend=backend)
    torch.testing.assert_close(ours, theirs.transpose(1, 2))


def test_left_out_the_logit_is_zero() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8)
    zero = {"normalizer.logit": torch.zeros(4)}
    given = attend(query, key, value, "softmax_plus_one", weights=zero)
    assert torch.equal(attend(query, key, value, "softmax_plus_one"), given)


def test_is_a_null_key_of_score_zero() -> None:
    """Miller's +1: a key of zeros with a value of zeros, put in front and seen by all."""
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    null = torch.zeros(2, 4, 1, 8, dtype=torch.float64)
    wanted = attend(query, torch.cat([null, key], 2), torch.cat([null, value], 2), "nope")
    torch.testing.assert_close(attend(query, key, value, "softmax_plus_one"), wanted)


def test_is_softmax_times_a_sigmoid() -> None:
    scores = torch.randn(2, 3, 4, 9, dtype=torch.float64)
    logit = torch.randn(3, dtype=torch.float64)
    share = (scores.logsumexp(-1, keepdim=True) - logit[:, None, None]).sigmoid()
    torch.testing.assert_close(SoftmaxPlusOne()(scores, {"logit": logit}), scores.softmax(-1) * share)


def test_without_the_logit_it_is_softmax() -> None:
    scores = torch.randn(2, 3, 4, 9, dtype=torch.float64)
    far = {"logit": torch.full((3,), -1e4, dtype=torch.float64)}
    torch.testing.assert_close(SoftmaxPlusOne()(scores, far), scores.softmax(-1))


def test_sums_stay_below_one() -> None:
    assert (SoftmaxPlusOne()(torch.randn(2, 3, 4, 9), {}).sum(-1) < 1).all()
