from math import pi

import pytest
import torch

from huggingface import rope_parameters
from longspan.errors import SchemeError
from longspan.rotation.llama3 import Llama3
from longspan.rotation.rope import RoPE


@pytest.mark.parametrize(
    ("head_dim", "factor", "trained_length", "low", "high", "theta"),
    [
        (128, 8.0, 8192, 1.0, 4.0, 500000.0),
        (64, 32.0, 8192, 1.0, 4.0, 500000.0),
        (64, 16.0, 4096, 1.0, 2.0, 10000.0),
        (128, 16.0, 8192, 1.0, 1.0, 500000.0),
        (64, 4.0, 2048, 3.0, 3.0, 10000.0),
    ],
)
def test_frequencies_are_hugging_faces(
    head_dim: int, factor: float, trained_length: int, low: float, high: float, theta: float
) -> None:
    """Llama 3.1, Llama 3.2, other ends, Llama 4 Scout, whose ends are one, and another such step."""
    settings = {"low_freq_factor": low, "high_freq_factor": high, "original_max_position_embeddings": trained_length}
    wanted, gain = rope_parameters("llama3", head_dim, trained_length, theta=theta, factor=factor, **settings)
    ours = Llama3(factor, trained_length, low, high, theta=theta)
    # The passage between the ends subtracts numbers that are near each other, in float32.
    torch.testing.assert_close(ours.frequencies(head_dim), wanted, rtol=1e-5, atol=0)
    assert ours.gain == gain


def test_kept_divided_and_mixed_pairs_of_llama_3_1() -> None:
    slower = RoPE(500000).frequencies(128) / Llama3(8, 8192, theta=500000).frequencies(128)
    kept, divided = (slower - 1).abs() < 1e-12, (slower - 8).abs() < 1e-12
    assert (int(kept.sum()), int(divided.sum()), int((~kept & ~divided).sum())) == (29, 29, 6)


@pytest.mark.parametrize(("wavelength", "slower"), [(8192, 8.0), (2048, 1.0)])
def test_passage_is_continuous(wavelength: int, slower: float) -> None:
    """A pair of exactly this wavelength, and pairs just beside it: the second of d = 4 has frequency 1/√b."""
    for beside in (1 - 1e-9, 1, 1 + 1e-9):
        theta = (beside * wavelength / (2 * pi)) ** 2
        ours = Llama3(8, 8192, theta=theta).frequencies(4)[1]
        assert (RoPE(theta).frequencies(4)[1] / ours).item() == pytest.approx(slower, rel=1e-7)


def test_factor_1_is_rope() -> None:
    torch.testing.assert_close(Llama3(1, 2048).frequencies(64), RoPE().frequencies(64), rtol=1e-15, atol=0)
    assert Llama3(1).changes_nothing(10**6)
    assert not Llama3(2).changes_nothing(1)


def test_trained_on_single_tokens_all_is_divided() -> None:
    """No wavelength, 2π at least, is below L / low = 1."""
    torch.testing.assert_close(Llama3(8, 1).frequencies(64), RoPE().frequencies(64) / 8, rtol=1e-15, atol=0)


@pytest.mark.parametrize("given", [{"factor": 0.5}, {"trained_length": 0}, {"low": 0.0}, {"low": 4.0, "high": 3.0}])
def test_out_of_range_is_refused(given: dict) -> None:
    with pytest.raises(SchemeError, match=list(given)[-1]):
        Llama3(**given)
