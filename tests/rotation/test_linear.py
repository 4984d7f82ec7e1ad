import pytest
import torch

from called import EXACT, PLACES, output
from huggingface import FLOAT32, rope_parameters
from longspan.errors import SchemeError
from longspan.rotation.linear import Linear
from longspan.rotation.rope import RoPE


@pytest.mark.parametrize(("head_dim", "factor", "theta"), [(64, 2.0, 10000.0), (128, 7.5, 500000.0)])
def test_frequencies_are_hugging_faces(head_dim: int, factor: float, theta: float) -> None:
    wanted, gain = rope_parameters("linear", head_dim, 4096, theta=theta, factor=factor)
    torch.testing.assert_close(Linear(factor, theta=theta).frequencies(head_dim), wanted, **FLOAT32)
    assert Linear(factor).gain == gain


def test_scores_at_stretched_distances_are_those_of_rope() -> None:
    steps = torch.arange(PLACES)
    torch.testing.assert_close(output(Linear(3), positions=3 * steps), output(RoPE(), positions=steps), **EXACT)


def test_factor_1_is_rope() -> None:
    torch.testing.assert_close(Linear(1).frequencies(64), RoPE().frequencies(64), rtol=0, atol=0)
    assert Linear(1).changes_nothing(10**6)
    assert not Linear(2).changes_nothing(1)


def test_a_factor_below_1_is_refused() -> None:
    with pytest.raises(SchemeError, match="linear: factor must be at least 1"):
        Linear(0.5)
