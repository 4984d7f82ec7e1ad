import pytest
import torch
from scipy.linalg import expm
from torch import Tensor
from transformers.models.pixtral.configuration_pixtral import PixtralVisionConfig
from transformers.models.pixtral.modeling_pixtral import PixtralVisionRotaryEmbedding
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLVisionRotaryEmbedding

from called import EXACT, PLACES, output
from longspan.compute.rotate import rotate, tables
from longspan.errors import SchemeError
from longspan.rotation.axial import Axial
from longspan.rotation.rope import RoPE

PLANE = torch.tensor([[[0, 0], [1, 0], [0, 2], [3, 1], [5, 5], [2, 7]]])
SPLITS = ["groups", "interleaved"]


def rotated(rotation: Axial, x: Tensor, place: list[int]) -> Tensor:
    return rotate(x[None, None, None], torch.tensor([[place]]), rotation.spectrum(len(x)))[0, 0, 0]


def test_groups_are_those_of_qwen2_vl() -> None:
    theirs = Qwen2VLVisionRotaryEmbedding(Qwen2VLVisionConfig(embed_dim=64, num_heads=4))
    cos, sin = theirs(torch.zeros(()), PLANE.mT)
    ours = tables(PLANE, Axial().spectrum(16))
    torch.testing.assert_close(ours[0].repeat(1, 1, 2).float(), cos)
    torch.testing.assert_close(ours[1].repeat(1, 1, 2).float(), sin)


def test_interleaved_turns_as_pixtral_does() -> None:
    """The same pairs on the same axes; Pixtral then puts all pairs of an axis side by side."""
    theirs = PixtralVisionRotaryEmbedding(PixtralVisionConfig(hidden_size=64, num_attention_heads=4))
    cos, sin = theirs(torch.zeros(()), PLANE.mT)
    ours = tables(PLANE, Axial(split="interleaved").spectrum(16))
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    torch.testing.assert_close(ours[0][..., order].repeat(1, 1, 2).float(), cos)
    torch.testing.assert_close(ours[1][..., order].repeat(1, 1, 2).float(), sin)


@pytest.mark.parametrize("split", SPLITS)
def test_is_the_exponential_of_two_generators_that_commute(split) -> None:
    """R(x, y) = exp(x B1 + y B2); channels (2i, 2i + 1) are pair i."""
    rotation = Axial(split=split, theta=100.0, layout="interleaved")
    generators = torch.zeros(2, 8, 8, dtype=torch.float64)
    on_x = [0, 1] if split == "groups" else [0, 2]
    frequencies = [1, 0.1, 1, 0.1] if split == "groups" else [100 ** (-i / 4) for i in range(4)]
    for i, frequency in enumerate(frequencies):
        axis = 0 if i in on_x else 1
        generators[axis, 2 * i + 1, 2 * i] = frequency
        generators[axis, 2 * i, 2 * i + 1] = -frequency
    torch.testing.assert_close(generators[0] @ generators[1], generators[1] @ generators[0])
    x = torch.randn(8, dtype=torch.float64)
    for place in PLANE[0].tolist():
        wanted = torch.from_numpy(expm((place[0] * generators[0] + place[1] * generators[1]).numpy())) @ x
        torch.testing.assert_close(rotated(rotation, x, place), wanted, **EXACT)


@pytest.mark.parametrize("split", SPLITS)
def test_only_differences_on_both_axes_count(split) -> None:
    rotation = Axial(split=split)
    moved = PLANE + torch.tensor([13, -4])
    torch.testing.assert_close(output(rotation, positions=moved), output(rotation, positions=PLANE), **EXACT)


@pytest.mark.parametrize("split", SPLITS)
def test_each_place_has_a_rotation_of_its_own(split) -> None:
    """A step on one axis is not undone by a step back on the other."""
    x = torch.randn(8, dtype=torch.float64)
    assert not torch.allclose(rotated(Axial(split=split), x, [1, -1]), x)
    torch.testing.assert_close(rotated(Axial(split=split), x, [0, 0]), x, rtol=0, atol=0)


def test_swapping_axes_swaps_groups() -> None:
    rotation = Axial(layout="interleaved")
    x = torch.randn(8, dtype=torch.float64)
    swapped = rotated(rotation, x.roll(4), [9, 2]).roll(4)
    torch.testing.assert_close(swapped, rotated(rotation, x, [2, 9]), **EXACT)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_interleaved_on_the_diagonal_is_rope(layout) -> None:
    """Bit for bit: a model of text alone is unchanged."""
    steps = torch.arange(PLACES) * 3
    plane = steps[None, :, None].expand(1, PLACES, 2)
    rotation = Axial(split="interleaved", layout=layout)
    line = output(RoPE(layout=layout), positions=steps)
    torch.testing.assert_close(output(rotation, positions=plane), line, rtol=0, atol=0)
    assert not torch.allclose(output(Axial(layout=layout), positions=plane), line)


def test_an_odd_number_of_pairs_is_refused() -> None:
    with pytest.raises(SchemeError, match="6 channels that rotate are not a multiple of 4"):
        Axial().spectrum(6)
