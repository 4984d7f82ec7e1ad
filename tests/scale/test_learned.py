"""Outside source: transformers' Swin v2, whose attention is a cosine times a learned factor per head."""

import pytest
import torch
from transformers import Swinv2Config
from transformers.models.swinv2.modeling_swinv2 import Swinv2SelfAttention

from longspan import Geometry, attend, parse
from longspan.errors import SchemeError
from longspan.scale.learned import Learned

HEADS, HEAD_DIM, SIDE = 3, 8, 3


def test_is_the_attention_of_swin_v2() -> None:
    dim = HEADS * HEAD_DIM
    theirs = Swinv2SelfAttention(Swinv2Config(attention_probs_dropout_prob=0.0), dim, HEADS, SIDE).double().eval()
    factor = torch.tensor([2.0, 10.0, 30.0], dtype=torch.float64)
    with torch.no_grad():
        theirs.logit_scale.copy_(factor.log()[:, None, None])
        theirs.get_parameter("continuous_position_bias_mlp.2.weight").zero_()  # a position bias of 8 everywhere: none
    hidden = torch.randn(2, SIDE * SIDE, dim, dtype=torch.float64)

    def split(states: torch.Tensor) -> torch.Tensor:
        return states.view(2, SIDE * SIDE, HEADS, HEAD_DIM).transpose(1, 2)

    query, key, value = (split(project(hidden)) for project in (theirs.query, theirs.key, theirs.value))
    ours = attend(query, key, value, "cosine + learned(1) + bidirectional", weights={"scale.factor": factor})
    torch.testing.assert_close(ours.transpose(1, 2).flatten(2), theirs(hidden)[0])


@pytest.mark.parametrize(("trained_length", "start"), [(2, 1.0), (16, 7.906890595608519), (1024, 19.998590429745327)])
def test_starts_at_the_papers_value(trained_length: int, start: float) -> None:
    """log₂(L² − L): one for two tokens, log₂ 240 for sixteen, nearly twice log₂ L for many."""
    part = Learned().fill(Geometry(4, 4, 8, trained_length), 99)
    assert part.initial == pytest.approx(start)
    assert part.initial_weights(4, 8)["factor"].tolist() == pytest.approx([start] * 4)


def test_is_filled_inside_log_length() -> None:
    scheme = parse("cosine + learned + log_length", Geometry(4, 4, 8, 16), 64)
    assert scheme.initial_weights(4, 8)["scale.factor"].tolist() == pytest.approx([7.906890595608519] * 4)


def test_an_open_start_is_an_error() -> None:
    with pytest.raises(SchemeError, match="learned needs initial"):
        Learned().initial_weights(4, 8)


def test_factors_are_as_wide_as_scores_need() -> None:
    """Stored in float32, they multiply in float64."""
    scale = Learned(1.0)(0.125, {"factor": torch.tensor([0.5, 2.0])})
    assert scale.dtype == torch.float64
    assert scale.tolist() == [[[0.5], [2.0]]]


def test_refuses_an_endless_start() -> None:
    with pytest.raises(SchemeError, match="learned: initial must be finite, got inf"):
        Learned(float("inf"))
