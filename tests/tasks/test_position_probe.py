"""The known cases are computed with `attend`: what no weights can tell apart, no training can."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longspan.bias.alibi import ALiBi
from longspan.compute.attend import attend
from longspan.errors import InputError
from longspan.mask.bidirectional import Bidirectional
from longspan.normalizer.l2 import L2
from longspan.prompts.sequence import SequenceExample
from longspan.reweight.urpe import URPE
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme
from longspan.task import Material
from longspan.tasks.position_probe import PositionProbe

NOTHING = Material(None)


@given(st.integers(2, 200), st.integers(0, 99), st.sampled_from([None, 0, 5]))
def test_positions_are_counted_from_one(length: int, index: int, first: int | None) -> None:
    example = PositionProbe(first=first).example(NOTHING, length, str(index))
    front = 0 if first is None else 1
    assert example.length == length
    assert len(set(example.ids[front:])) == 1
    assert list(example.targets.items()) == [(i, i - front + 1) for i in range(front, length)]
    assert first not in example.ids[front:]


def test_the_middle_has_a_quarter_of_the_number_as_error() -> None:
    example = PositionProbe().example(NOTHING, 400, "0")
    assert example.error(dict.fromkeys(example.targets, 200)) == pytest.approx(100)
    assert example.score(dict.fromkeys(example.targets, 200)) == pytest.approx(1 / 400)


def test_no_room_is_refused() -> None:
    with pytest.raises(InputError, match="1 tokens hold no token to ask about"):
        PositionProbe(first=0).example(NOTHING, 1, "0")


def test_each_example_repeats_one_id() -> None:
    repeated = [PositionProbe().example(NOTHING, 8, str(index)).ids[0] for index in range(9)]
    assert len(set(repeated)) > 6
    assert repeated[0] == PositionProbe().example(NOTHING, 8, "0").ids[7]


def spread(example: SequenceExample, scheme: Scheme) -> float:
    """How much the outputs at the asked positions differ, for random embeddings of the ids."""
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(max(example.ids) + 1, 4, 16, dtype=torch.float64, generator=generator)
    embedded = table[list(example.ids)].transpose(0, 1)[None]
    weights = {
        name: value.double() + 0.3 * torch.rand(value.shape, dtype=torch.float64, generator=generator)
        for name, value in scheme.initial_weights(4, 16, generator).items()
    }
    output = attend(embedded, embedded, embedded, scheme, weights=weights)[:, :, list(example.targets)]
    return float((output - output.mean(2, keepdim=True)).abs().max())


@pytest.mark.parametrize(
    "scheme",
    [Scheme(), Scheme.of(RoPE()), Scheme.of(ALiBi()), Scheme.of(RoPE(), Bidirectional())],
    ids=["NoPE", "RoPE", "ALiBi", "RoPE both ways"],
)
def test_known_impossible(scheme: Scheme) -> None:
    assert spread(PositionProbe(vocabulary=50).example(NOTHING, 24, "0"), scheme) < 1e-12


@pytest.mark.parametrize(
    ("scheme", "first"),
    [(Scheme.of(RoPE(), L2()), None), (Scheme.of(RoPE(), URPE()), None), (Scheme.of(RoPE()), 7), (Scheme(), 7)],
    ids=["l2", "URPE", "a first token", "a first token behind a causal mask"],
)
def test_known_possible(scheme: Scheme, first: int | None) -> None:
    assert spread(PositionProbe(50, first).example(NOTHING, 24, "0"), scheme) > 1e-3
