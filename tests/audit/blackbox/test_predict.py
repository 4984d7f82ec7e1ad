"""What a server writes has the base of dynamic NTK that its own model has, step by step and request after request."""

from typing import Any

import numpy as np
import pytest
import torch

from audit.blackbox.serving import OPENING, TRAINED_LENGTH, local, stock
from longspan.audit.blackbox.answer import Answer
from longspan.audit.blackbox.hypothesis import ByRequest, Hypothesis
from longspan.audit.blackbox.predict import Request, predicted
from longspan.measure.reading.reader import Reader
from longspan.rotation.dynamic_ntk import DynamicNTK
from longspan.scheme import Scheme

ROPE: dict[str, Any] = {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}}
ROTATION = DynamicNTK(TRAINED_LENGTH, factor=4.0, theta=10000.0)
WRITTEN = 16


def wrote(model: Any, request: Request) -> Answer:
    """What transformers writes with its own cache, at temperature 0."""
    sent = torch.tensor([request.ids])
    ids = model.generate(
        sent, attention_mask=torch.ones_like(sent), max_new_tokens=WRITTEN, do_sample=False, eos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    tokens = tuple(ids[0, len(request.ids) :].tolist())
    positions = tuple(range(len(request.ids), len(request.ids) + len(tokens)))
    return Answer(positions, tokens, (0.0,) * len(tokens), tokens, chosen=True)


def requests(lengths: list[int]) -> list[Request]:
    numbers = np.random.default_rng(0)
    bodies = [numbers.integers(2, local().config.vocab_size, length - 1).tolist() for length in lengths]
    return [Request((*OPENING, *body), OPENING) for body in bodies]


@pytest.mark.parametrize(
    "lengths",
    [[80, 100, 120], [56, 60], [120, 70, 66], [120, 40, 70], [64, 63, 64]],
    ids=["longer and longer", "over the trained length", "shorter ones", "one within the trained length", "its edge"],
)
def test_all_that_transformers_writes_under_dynamic_scaling_is_the_most_likely_token(lengths: list[int]) -> None:
    asked = requests(lengths)
    server = stock(**ROPE)
    answers = [wrote(server, request) for request in asked]
    hypothesis = ByRequest("by request", Scheme.of(ROTATION))
    assert predicted(Reader(local()), hypothesis, asked, answers).tolist() == pytest.approx([0.0] * 16 * len(asked))


def test_other_ways_to_choose_the_base_are_another_model() -> None:
    """The control of the test above: one base for prompt and continuation, and one for each row."""
    asked = requests([80, 100, 120])
    server = stock(**ROPE)
    answers = [wrote(server, request) for request in asked]
    for other in (Hypothesis("by row", Scheme.of(ROTATION)), Hypothesis("plain")):
        assert predicted(Reader(local()), other, asked, answers).min() < -0.05


def test_the_lengths_of_steps_are_those_of_transformers() -> None:
    """A base stays until a longer text comes, or one that is shorter than the trained length."""
    hypothesis = ByRequest("by request", Scheme.of(ROTATION))
    assert hypothesis.steps([(80, 2), (70, 1), (63, 2), (64, 1)]) == [
        (80, 81, 81),
        (81, 81),
        (64, 64, 64),
        (64, 64),
    ]
    assert hypothesis.steps([(80, 0), (70, 0)]) == [(80,), (70,)]
