import pytest
import torch

from huggingface import FLOAT32, rope_parameters
from longspan.rotation.rope import RoPE


@pytest.mark.parametrize(("head_dim", "theta"), [(8, 10000.0), (64, 500000.0), (128, 1e6)])
def test_frequencies_are_hugging_faces(head_dim: int, theta: float) -> None:
    wanted, _ = rope_parameters("default", head_dim, 4096, theta=theta)
    torch.testing.assert_close(RoPE(theta).frequencies(head_dim), wanted, **FLOAT32)


def test_the_base_is_10000_where_nothing_is_said() -> None:
    torch.testing.assert_close(RoPE().frequencies(64), RoPE(10000).frequencies(64), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("window", "pairs"),
    [(4096, 18), (2048, 23)],  # counted by hand: 2π · 10000^(2i/128) > window  ⇔  i > 64 · log10000(window / 2π)
)
def test_pairs_that_never_turn_once_within_a_window(window: int, pairs: int) -> None:
    wavelengths = 2 * torch.pi / RoPE(10000).frequencies(128)
    assert int((wavelengths > window).sum()) == pairs
